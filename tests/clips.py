"""Small media files of every kind, made with PyAV where it can and the ffmpeg command where it cannot."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data" / "clips"
"""Real clips kept beside the repository; tests that want them skip where they are not."""
FONT = b"\x00\x01\x00\x00 not really a font"


def need(program: str) -> None:
    """Skip the test where there is no such program."""
    if shutil.which(program) is None:
        pytest.skip(f"needs the {program} command")


def ffmpeg(*arguments: object) -> None:
    """Run the ffmpeg command quietly; the test skips where there is none."""
    need("ffmpeg")
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


def picture(index: int, size: tuple[int, int], pixel_format: str) -> av.VideoFrame:
    """A moving gradient with some texture, (height, width) in `size`."""
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(index).integers(0, 40, (height, width))
    rgb = np.stack([rows * 3 + index * 5, columns * 2 + noise, rows + columns + 9 * index], axis=-1) % 256
    frame = av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24")
    return frame.reformat(format=pixel_format, dst_colorspace=5, threads=1)


def video(
    path: Path,
    *,
    size: tuple[int, int] = (96, 128),
    frames: int = 24,
    rate: int = 24,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    rotation: int | None = None,
    metadata: dict[str, str] | None = None,
    **attributes: object,
) -> Path:
    """A clip with a video stream only; `times` are pts in `time_base`, evenly spaced where not given."""
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate, time_base=time_base or Fraction(1, rate))
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], pixel_format
        stream.options = {"g": "12", **(options or {})}
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index in range(frames):
            frame = picture(index, size, pixel_format)
            frame.pts = index if times is None else times[index]
            frame.time_base = time_base or Fraction(1, rate)
            if "color_range" in attributes:
                frame.color_range = attributes["color_range"]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def rich_mkv(path: Path) -> Path:
    """Two languages of sound, text subtitles, a font, a cover, chapters and tags in Matroska."""
    folder = path.parent
    base = video(folder / "base.mp4", frames=48)
    srt = folder / "words.srt"
    srt.write_text(
        "1\n00:00:00,200 --> 00:00:00,900\nThe <i>first</i> words\n\n2\n00:00:00,950 --> 00:00:01,700\nthe second\n"
    )
    chapters = folder / "chapters.txt"
    chapters.write_text(
        ";FFMETADATA1\ntitle=A rainy day\nauthor=Jörg\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=Start\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=800\nEND=2000\ntitle=Rest\n"
    )
    font = folder / "letters.ttf"
    font.write_bytes(FONT)
    cover = folder / "cover.png"
    picture(3, (40, 40), "rgb24").to_image().save(cover)
    ffmpeg(
        *("-i", base, "-f", "lavfi", "-i", "sine=440:d=2:r=48000", "-f", "lavfi", "-i", "sine=880:d=2:r=48000"),
        *("-i", srt, "-i", chapters, "-map", "1:a", "-map", "0:v", "-map", "2:a", "-map", "3:s"),
        *("-map_metadata", "4", "-map_chapters", "4", "-c:v", "copy", "-c:a:0", "aac", "-c:a:1", "ac3", "-c:s", "srt"),
        *("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=fre", "-metadata:s:a:1", "title=Commentary"),
        *("-metadata:s:s:0", "language=eng", "-disposition:a:0", "default", "-disposition:a:1", "comment"),
        *("-disposition:s:0", "forced", "-attach", font, "-metadata:s:t:0", "mimetype=application/x-truetype-font"),
        *("-attach", cover, "-metadata:s:t:1", "mimetype=image/png", "-metadata:s:t:1", "filename=cover.png", path),
    )
    return path


def with_sound(path: Path, *, video_options: Iterable[object] = (), sound: str = "aac", seconds: float = 2) -> Path:
    """A clip of ffmpeg's test picture with a tone."""
    ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s=128x96:r=25:d={seconds}", "-f", "lavfi", "-i", f"sine=440:d={seconds}"),
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-g", "10", "-c:a", sound, *video_options, path),
    )
    return path


def hdr_mp4(path: Path) -> Path:
    """HDR10: HEVC in 10 bits with BT.2020, PQ, mastering display, light level and chroma at the top left."""
    parameters = (
        "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,400:chromaloc=2:"
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    )
    return video(
        path,
        codec="libx265",
        pixel_format="yuv420p10le",
        options={"x265-params": parameters, "preset": "ultrafast"},
        color_primaries=9,
        color_trc=16,
        colorspace=9,
        color_range=1,
    )


def with_user_data(path: Path) -> Path:
    """H.264 with an unregistered SEI message on each picture."""
    plain = video(path.with_stem("plain"))
    ffmpeg(
        *("-i", plain, "-c", "copy", "-bsf:v"),
        *("h264_metadata=sei_user_data=086f3693-b7b3-4f2c-9653-21492feee5b8+telemetry", path),
    )
    return path


def with_captions(path: Path) -> Path:
    """H.264 with ATSC A/53 closed captions, written between the NAL units by hand."""
    plain = video(path.with_stem("plain"), options={"bf": "0", "threads": "1"})
    raw = path.with_suffix(".h264")
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_mp4toannexb", raw)
    cc_data = b"\xb5\x00\x31GA94\x03\xc1\xff\xfc\x94\x2c\xff"
    sei = b"\x06\x04" + bytes([len(cc_data)]) + cc_data + b"\x80"
    units = raw.read_bytes().replace(b"\x00\x00\x00\x01", b"\x00\x00\x01").split(b"\x00\x00\x01")[1:]
    with_sei = [part for unit in units for part in ([sei, unit] if unit[0] & 31 in (1, 5) else [unit])]
    raw.write_bytes(b"".join(b"\x00\x00\x00\x01" + unit for unit in with_sei))
    ffmpeg("-framerate", 24, "-i", raw, "-c", "copy", path)
    return path


def interlaced(path: Path, order: str = "tff") -> Path:
    """Interlaced H.264; `order` is tff or bff."""
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=128x96:r=50:d=1", "-vf", f"interlace=scan={order}", "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-flags", "+ilme+ildct", "-x264-params", f"{order}=1", path),
    )
    return path


def encrypted(path: Path) -> Path:
    """Common encryption, without the key."""
    plain = video(path.with_stem("plain"))
    key = "00112233445566778899aabbccddeeff"
    ffmpeg(
        *("-i", plain, "-c", "copy", "-encryption_scheme", "cenc-aes-ctr"),
        *("-encryption_key", key, "-encryption_kid", key, path),
    )
    return path


def damaged(source: Path, path: Path, *, at: float = 0.5, length: int = 600) -> Path:
    """A copy of `source` with noise in the middle."""
    data = bytearray(source.read_bytes())
    start = int(len(data) * at)
    data[start : start + length] = np.random.default_rng(0).bytes(min(length, len(data) - start))
    path.write_bytes(data)
    return path


def truncated(source: Path, path: Path, *, keep: float = 0.6) -> Path:
    """The beginning of `source`."""
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def packets(path: Path, index: int) -> list[tuple[float | None, bytes]]:
    """(seconds, payload) of every packet of a stream."""
    with av.open(str(path)) as container:
        stream = container.streams[index]
        return [
            (None if p.pts is None else float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size
        ]


def samples(frame: av.VideoFrame, pixel_format: str) -> bytes:
    """All samples of the picture in `pixel_format`; a step between formats of the same samples loses nothing."""
    if frame.format.name != pixel_format:
        ranges = {"src_color_range": 2, "dst_color_range": 2} if pixel_format.startswith("yuvj") else {}
        frame = frame.reformat(format=pixel_format, threads=1, **ranges)
    return b"".join(_rows(frame, index) for index in range(len(frame.planes)))


def _rows(frame: av.VideoFrame, index: int) -> bytes:
    """A plane without what pads its rows; a row may hold several components."""
    plane = frame.planes[index]
    components = [component for component in frame.format.components if component.plane == index]
    size = sum(-(-component.bits // 8) * component.width for component in components)
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, :size].tobytes()


def all_samples(path: Path, pixel_format: str) -> list[bytes]:
    """`samples` of every frame of the first video stream."""
    with av.open(str(path)) as container:
        return [samples(frame, pixel_format) for frame in container.decode(container.streams.video[0])]
