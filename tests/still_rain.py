"""Made frames of a texture in rain, and networks that see drops but no streak."""

from fractions import Fraction

import av
import cv2
import numpy as np
import torch

from nerdrain_rt.frame import Frame
from nerdrain_rt.temporal import Seen, from_neighbours
from tests.fakes import FakeBackend

SIZE = (120, 160)
STREAK = (slice(30, 60), slice(70, 73))
DROP = 20 / 255
"""Brightness that a drop adds which the network sees."""


def texture(shift: int = 0, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Soft patches in gray, H W 3 in [0, 1], moved to the left by `shift`."""
    height, width = size
    noise = np.random.default_rng(seed).random((height, width + 64), np.float32)
    patches = cv2.GaussianBlur(noise, (0, 0), 3) * 4 - 1.6
    return np.repeat(np.clip(patches, 0.05, 0.8)[:, shift : shift + width, None], 3, axis=2)


def streaked(picture: np.ndarray, added: float = 0.15) -> np.ndarray:
    picture = picture.copy()
    picture[STREAK] += added
    return picture


def drops(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Brightness of those of a frame, H W 1: on an eighth of the pixels, on others in the next two frames."""
    eighth = np.random.default_rng(9).integers(0, 8, (*size, 1))
    return np.where(eighth == index % 3, np.float32(DROP), np.float32(0))


def tensor_of(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]


def seen(picture: np.ndarray, index: int = 0, *, rain: bool = True) -> Seen:
    """With `picture` as what the network leaves when it has taken out the drops."""
    clean = tensor_of(picture)
    taken = tensor_of(drops(index, picture.shape[:2]) * rain).expand_as(clean)
    return Seen(clean + taken, -taken)


def removed(here: np.ndarray, before: np.ndarray, after: np.ndarray, *, rain: bool = True) -> np.ndarray:
    """What is added, as H W 3."""
    frames = [seen(picture, index, rain=rain) for index, picture in enumerate((before, here, after))]
    added = from_neighbours(frames[1], (frames[0], frames[2]))
    return added[0].permute(1, 2, 0).numpy()


def coded(picture: np.ndarray, index: int) -> np.ndarray:
    """With what another encoder changes in it."""
    return picture + np.random.default_rng(index).choice([-1 / 255, 0, 0, 1 / 255], picture.shape)


def codes(picture: np.ndarray) -> np.ndarray:
    """As a frame of 8 bits holds it, in [0, 1]."""
    return np.round(255 * picture) / 255


class SeesDrops(FakeBackend):
    """Takes out the drops, and leaves the streak."""

    def __init__(self) -> None:
        still, places = tensor_of(codes(texture())), tensor_of(sum(map(drops, range(3)))) > 0
        super().__init__(lambda rainy: (still - rainy[..., : SIZE[0], : SIZE[1]]) * places)


def frames(count: int, wet: int) -> list[Frame]:
    """Still frames in rain, one of them with a streak."""
    pictures = [codes(texture()) + drops(index) for index in range(count)]
    pictures[wet][STREAK] = codes(streaked(texture()))[STREAK]
    made = [av.VideoFrame.from_ndarray(np.round(255 * picture).astype(np.uint8), "rgb24") for picture in pictures]
    return [Frame(picture, index, Fraction(1, 25)) for index, picture in enumerate(made)]


def streak_of(frame: Frame) -> float:
    """How much brighter it is than what is behind it, in 8-bit codes, where no drops are."""
    return float((frame.picture.to_ndarray() - 255 * codes(texture()))[STREAK][NO_DROPS[STREAK]].mean())


NO_DROPS = np.broadcast_to(sum(map(drops, range(3))) == 0, (*SIZE, 3))
