"""How good a weights file is: every measured target of the project in one table, and pictures to judge by eye.

Run as `python benchmarks/quality.py [--weights NAME|FILE] [--sheets DIR]`; the last line is JSON. What is measured:

- `rain200l`: the two test pairs of Rain200L.
- the held-out set: `--photographs` of the `C-test*` photographs, which every recipe leaves out, evenly spaced by name;
  the n-th one's rain always has the seed n. `showers`: the rain of `nerdrain rain` at each of five intensities in each
  of three scenes, a camera that stands, one that drives at 15 m/s, and one at night, for which the photograph keeps a
  part of its light. `looks`: each other kind of rain that is drawn for training; their mean is without `short`, the
  drops of short exposures. `dry`: none.
- `real`: the clip of real rain, some frames every so often: what is left of the drops that only one frame shows.
- each dry clip's first frames but the very first, which has no frame before it to be compared with: `dry`, as they are;
  `moving`, under the rain of `nerdrain rain CLIP --seed 1`; `driving`, with `--driving 15` too.

The sheets show all of them. Pictures larger than `--longest` are cut to their middles and never
shrunk, so that streaks keep their size. None of them was trained on. PSNR and SSIM are of Y, that of dry clips of RGB.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from nerdrain_rt import console
from nerdrain_rt.backends import precision_name
from nerdrain_rt.color import to_rgb
from nerdrain_rt.derainer import Derainer, DerainSettings
from nerdrain_rt.errors import DerainError, MediaError, UsageError
from nerdrain_rt.evaluation.command import summary
from nerdrain_rt.evaluation.evaluate import Comparison, Evaluation, compare_frames, compare_pictures
from nerdrain_rt.evaluation.flicker import Flicker
from nerdrain_rt.evaluation.harm import Harm
from nerdrain_rt.evaluation.metrics import Image
from nerdrain_rt.evaluation.pictures import Pair, Picture, read_pairs, read_pictures, to_image, to_tensor
from nerdrain_rt.evaluation.real_drops import REACH, RealDrops
from nerdrain_rt.evaluation.sheets import save_crops
from nerdrain_rt.media.image_folder import find_images, read_image
from nerdrain_rt.media.report import media_errors
from nerdrain_rt.model.weights import DEFAULT
from nerdrain_rt.training.capture import to_linear, to_srgb
from nerdrain_rt.training.looks import RainSettings
from nerdrain_rt.training.rain import add_rain
from nerdrain_rt.training.shower import Shower, rain_on_video

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
HELD_OUT = "C-test*"
DRY_CLIPS = ("gopro_walk", "dashcam_highway")
REAL_CLIP = "rain_street"
CLIPS = (*DRY_CLIPS, REAL_CLIP)
REAL_EVERY = 60
"""Frames between those shown of the real clip."""
SHOT = 2 * REACH + 3
"""Frames that are derained of it at a time; the outer ones are only what the others are held against."""

INTENSITIES = (0.1, 0.25, 0.5, 0.75, 1.0)
SCENES = {"standing": Shower(), "driving": Shower(speed_m_s=15), "night": Shower(is_night=True)}
NIGHT_LIGHT = 0.1
"""Of the photograph's, linear."""
MOVING = {"moving": Shower(seed=1), "driving": Shower(seed=1, speed_m_s=15)}
NO_RAIN = RainSettings(dry=0, light=0, heavy=0, fine=0, thick=0, optical=0, short=0, falling=0)
LOOKS = {
    "light": replace(NO_RAIN, light=1),
    "heavy": replace(NO_RAIN, heavy=1),
    "fine": replace(NO_RAIN, fine=1),
    "thick": replace(NO_RAIN, thick=1),
    "optical": replace(NO_RAIN, optical=1),
    "short": replace(NO_RAIN, short=1),
}
APART = "short"
"""Not in the mean over the kinds of rain, so that it says the same as for weights that were measured without it."""
SHOWN = {
    "synthetic": (("standing", 0.5), ("driving", 1.0), "heavy", "fine", "optical"),
    "night": (("night", 0.25), ("night", 0.5), ("night", 0.75), ("night", 1.0)),
}
"""What of the held-out set is on each sheet."""

SMALLEST = 64
"""Of the sizes that pictures can be cut to."""


class Limits(NamedTuple):
    """What a figure must and should reach."""

    must: float
    goal: float


TARGETS = {
    "rain200l": Limits(34, 41.2),
    "held-out": Limits(6, 10),
    "dry": Limits(40, 50),
    "moving": Limits(4, 8),
    "flicker": Limits(1, 0.5),
}
"""In dB: a PSNR, a gain, a PSNR, a gain; flicker as a share of what it was, which is to be less."""


@dataclass(frozen=True, slots=True)
class Data:
    """The pictures that are measured; raises MediaError where some are not there."""

    folder: Path
    longest: int
    frames: int
    photographs: int

    def __post_init__(self) -> None:
        for path in (self._pairs / "input", self._pairs / "target", *map(self._clip, CLIPS)):
            if not path.exists():
                raise MediaError(f"{path}: not there; --data names the folder that holds pairs, train and clips")
        self.held_out()

    def rain200l(self) -> Iterable[Pair]:
        """The test pairs, whole whatever the limit, as their scores are published."""
        return read_pairs(self._pairs / "input", self._pairs / "target")

    def held_out(self) -> list[Path]:
        """The photographs of the held-out set."""
        folder = self.folder / "train"
        found = [path for path in find_images(folder) if fnmatch(path.name, HELD_OUT)]
        if not found:
            raise MediaError(f"{folder}: no photograph is named like {HELD_OUT}")
        return found[:: -(-len(found) // self.photographs)]

    def shower(self, scene: str, intensity: float) -> Iterator[Pair]:
        """The held-out set in a scene."""
        for seed, path in enumerate(self.held_out()):
            clean = to_tensor(read_image(path))
            if SCENES[scene].is_night:
                clean = to_srgb(to_linear(clean) * NIGHT_LIGHT)
            shower = replace(SCENES[scene], intensity=intensity, seed=seed)
            rainy = shower.begin((clean.shape[2], clean.shape[3]))(clean[0], 0)[None]
            yield self._pair(f"{scene}, intensity {intensity:g}", rainy, clean)

    def look(self, name: str) -> Iterator[Pair]:
        """The held-out set under one of the kinds of rain of training."""
        for seed, path in enumerate(self.held_out()):
            generator = torch.Generator().manual_seed(seed)
            yield self._pair(name, *add_rain(to_tensor(read_image(path)), generator, LOOKS[name]))

    def unrained(self) -> Iterator[Picture]:
        """The held-out set as it is."""
        for path in self.held_out():
            yield Picture(path.stem, self._middle(read_image(path)))

    def dry(self, clip: str) -> Iterator[Picture]:
        """The first frames of a dry clip, and one more at either end."""
        for picture in islice(read_pictures(self._clip(clip)), self.frames + 2):
            yield Picture(f"{clip}, frame {picture.name}", self._middle(picture.rgb))

    def moving(self, clip: str, shower: Shower) -> Iterator[Pair]:
        """The same as `nerdrain rain` gives them to the encoder, beside the dry ones."""
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(rain_on_video(self._clip(clip), Path(folder) / "rainy.mkv", shower)) as progress,
        ):
            for dry, step in zip(self.dry(clip), progress, strict=False):
                rainy = to_image(to_rgb(step.frame.picture, device=torch.device("cpu")))
                yield Pair(f"{dry.name}, moving rain", self._middle(rainy), dry.rgb)

    def real(self) -> Iterator[list[Picture]]:
        """Frames of the clip of real rain, some at a time that follow each other."""
        pictures = read_pictures(self._clip(REAL_CLIP))
        while shot := list(islice(pictures, SHOT)):
            yield [Picture(f"{REAL_CLIP}, frame {name}", self._middle(rgb)) for name, rgb in shot]
            next(islice(pictures, REAL_EVERY - SHOT, REAL_EVERY - SHOT), None)

    def _pair(self, name: str, rainy: Tensor, target: Tensor) -> Pair:
        return Pair(name, *(self._middle(to_image(side)) for side in (rainy, target)))

    @property
    def _pairs(self) -> Path:
        return self.folder / "pairs" / "rain200l" / "test"

    def _clip(self, name: str) -> Path:
        return self.folder / "clips" / f"{name}.mp4"

    def _middle(self, picture: Image) -> Image:
        height, width = (min(side, self.longest) for side in picture.shape[:2])
        top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
        return picture[top : top + height, left : left + width]


class Quality:
    """Measures a derainer part by part, and keeps pictures for the sheets by their names."""

    def __init__(self, derainer: Derainer, data: Data) -> None:
        self._derainer, self._data = derainer, data
        self.shown: dict[str, list[Comparison]] = {name: [] for name in ("real", "synthetic", "moving", "dry", "night")}

    def rain200l(self) -> dict[str, Any]:
        """Scores of the pairs."""
        comparisons = self._derain(self._data.rain200l())
        untouched = Evaluation.of(comparison._replace(clean=comparison.rainy) for comparison in comparisons)
        self.shown["synthetic"].append(comparisons[0]._replace(name="Rain200L, first test pair"))
        return _means([Evaluation.of(comparisons)]) | {"input_ssim_y": round(untouched.ssim_y, 4)}

    def showers(self) -> dict[str, Any]:
        """Scores of the held-out set over all, for each intensity and for each scene."""
        kinds = [(scene, intensity) for scene in SCENES for intensity in INTENSITIES]
        scores = {kind: self._score(kind, self._data.shower(*kind)) for kind in kinds}
        intensities = {f"{it:g}": _means([scores[scene, it] for scene in SCENES]) for it in INTENSITIES}
        scenes = {scene: _means([scores[scene, it] for it in INTENSITIES]) for scene in SCENES}
        return {"all": _means(list(scores.values())), "intensities": intensities, "scenes": scenes}

    def looks(self) -> dict[str, Any]:
        """Scores of the held-out set for each kind of rain, and over all but `APART`."""
        scores = {look: self._score(look, self._data.look(look)) for look in LOOKS}
        whole = _means([it for look, it in scores.items() if look != APART])
        return {"all": whole, "kinds": {look: _means([it]) for look, it in scores.items()}}

    def dry(self) -> dict[str, Any]:
        """Harm to the held-out set."""
        comparisons = self._derain((*picture, None) for picture in self._data.unrained())
        harm = Harm.of(comparisons)
        self.shown["dry"].append(comparisons[harm.worst_frame])
        return summary(harm)

    def clip(self, name: str) -> dict[str, Any]:
        """Harm to the dry frames, and scores and flicker of those with moving rain."""
        dry = self._derain_video((*picture, None) for picture in self._data.dry(name))[1:-1]
        self.shown["dry"] += [dry[0], dry[-1]]
        figures = {"dry": summary(Harm.of(dry))}
        for kind, shower in MOVING.items():
            moving = self._derain_video(self._data.moving(name, shower))[1:-1]
            self.shown["moving"] += [moving[0], moving[-1]]
            figures[kind] = _means([Evaluation.of(moving)]) | summary(Flicker.of(moving))
        return figures

    def real(self) -> dict[str, Any]:
        """What is left of real drops."""
        shots = [self._derain_video((*picture, None) for picture in frames) for frames in self._data.real()]
        self.shown["real"] += [shot[len(shot) // 2] for shot in shots]
        return summary(RealDrops.of(*shots))

    def _score(self, kind: object, pairs: Iterable[Pair]) -> Evaluation:
        comparisons = self._derain(pairs)
        for sheet in (name for name, kinds in SHOWN.items() if kind in kinds):
            self.shown[sheet].append(comparisons[len(self.shown[sheet]) % len(comparisons)])
        return Evaluation.of(comparisons)

    def _derain(self, pictures: Iterable[tuple[str, Image, Image | None]]) -> list[Comparison]:
        return list(compare_pictures(self._derainer, pictures))

    def _derain_video(self, frames: Iterable[tuple[str, Image, Image | None]]) -> list[Comparison]:
        return list(compare_frames(self._derainer, frames))


def _means(scores: Sequence[Evaluation]) -> dict[str, Any]:
    """Over evaluations of equally many pictures."""
    before, after, ssim = (fmean(getattr(it, name) for it in scores) for name in ("input_psnr_y", "psnr_y", "ssim_y"))
    figures = {"input_psnr_y": before, "psnr_y": after, "gain": after - before, "ssim_y": ssim}
    return {"images": sum(it.images for it in scores)} | {name: round(value, 4) for name, value in figures.items()}


def measure(quality: Quality) -> dict[str, Any]:
    """Every figure, part by part."""
    parts = {"rain200l": quality.rain200l, "showers": quality.showers, "looks": quality.looks}
    parts |= {"dry": quality.dry}
    parts |= {name: partial(quality.clip, name) for name in DRY_CLIPS} | {"real": quality.real}
    result = {}
    for name, part in parts.items():
        console.note(f"{name} ...")
        result[name] = part()
    return result


def table_of(result: dict[str, Any]) -> Table:
    """The figures beside their targets, green where they are met."""
    table = Table(*("", "input", "output", "gain", "", "must", "goal"), title=result["weights"])
    table.caption = (
        "PSNR and gain in dB; flicker and drops in 8-bit codes, of the dry frames too, and what is left of the rain's"
    )

    def add(
        name: str, before: float, after: float, more: str = "", limits: Iterable[Text] = (), digits: int = 2
    ) -> None:
        values = (f"{value:.{digits}f}" for value in (before, after, after - before))
        table.add_row(name, *values, more, *limits)

    def add_scores(name: str, scores: dict[str, Any], limits: Iterable[Text] = ()) -> None:
        add(name, scores["input_psnr_y"], scores["psnr_y"], limits=limits)

    pairs = result["rain200l"]
    add_scores("Rain200L", pairs, _judged("rain200l", pairs["psnr_y"]))
    add("  SSIM", pairs["input_ssim_y"], pairs["ssim_y"], digits=4)
    for part in ("showers", "looks"):
        whole, *groups = result[part].values()
        add_scores(f"held-out {part}", whole, _judged("held-out", whole["gain"]))
        for name, scores in (item for group in groups for item in group.items()):
            add_scores(f"  {name}", scores)
    dry = result["dry"]
    table.add_row("held-out dry", "", f"{dry['harm_psnr']:.2f}", "", f"{dry['changed_share']:.1%} changed")
    for clip in DRY_CLIPS:
        dry = result[clip]["dry"]
        table.add_row(clip)
        changed = f"{dry['changed_share']:.1%} changed"
        table.add_row("  dry", "", f"{dry['harm_psnr']:.2f}", "", changed, *_judged("dry", dry["harm_psnr"]))
        for kind in MOVING:
            moving = result[clip][kind]
            add_scores(f"  {kind}", moving, _judged("moving", moving["gain"]))
            before, after, floor, left = (moving[f"flicker_{it}"] for it in ("before", "after", "target", "left"))
            more = f"dry {floor:.2f}, {left:.0%} left"
            add("  flicker", before, after, more, _judged("flicker", after / before))
    real = result["real"]
    left = "" if real["drops_left"] is None else f"{real['drops_left']:.0%} left"
    add(f"{REAL_CLIP}: drops", real["drops_before"], real["drops_after"], left, digits=3)
    return table


def _judged(name: str, figure: float) -> Iterator[Text]:
    for limit in TARGETS[name]:
        is_met = figure < limit if name == "flicker" else figure >= limit
        yield Text(f"{limit:g}", "green" if is_met else "red")


def run(options: argparse.Namespace) -> None:
    """Measure, write the sheets, print the table and the JSON."""
    if options.longest < SMALLEST or options.frames < 2 or options.photographs < 1:
        raise UsageError(f"--longest begins at {SMALLEST}, --frames at 2, --photographs at 1")
    started = time.monotonic()
    data = Data(options.data, options.longest, options.frames, options.photographs)
    if options.sheets:
        with media_errors(options.sheets):
            options.sheets.mkdir(parents=True, exist_ok=True)
    settings = DerainSettings(
        options.weights, options.backend, options.device, options.precision, temporal=options.temporal
    )
    derainer = Derainer(settings)
    backend = derainer.backend
    quality = Quality(derainer, data)
    result = {
        "weights": options.weights,
        "backend": f"{backend.name} {precision_name(backend.dtype)} {backend.device}",
        "temporal": derainer.compares_frames,
        "longest": data.longest,
        "frames": data.frames,
        "photographs": len(data.held_out()),
    } | measure(quality)
    if options.sheets:
        for name, comparisons in quality.shown.items():
            save_crops(options.sheets / f"{name}.png", comparisons)
    result["seconds"] = round(time.monotonic() - started)
    if not options.json:
        console.stdout.print(table_of(result))
    console.print_json(result)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options; errors are one line on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default=DEFAULT, metavar="NAME|FILE")
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of pairs, train and clips")
    parser.add_argument("--sheets", type=Path, metavar="DIR", help="write pictures before and after there")
    parser.add_argument("--longest", type=int, default=640, metavar="N", help="largest side of a picture, in pixels")
    parser.add_argument("--frames", type=int, default=4, metavar="N", help="of each dry clip")
    parser.add_argument("--photographs", type=int, default=8, metavar="N", help="of the held-out set")
    parser.add_argument("--no-temporal", dest="temporal", action="store_false", help="as for `nerdrain video`")
    parser.add_argument("--json", action="store_true", help="print no table")
    for name in ("device", "backend", "precision"):
        parser.add_argument(f"--{name}", default="auto", help="as for `nerdrain eval`")
    try:
        run(parser.parse_args(arguments))
    except DerainError as error:
        console.error(error)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    main()
