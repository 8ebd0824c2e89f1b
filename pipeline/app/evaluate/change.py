"""Pictures that are changed as cameras might, and their labels with them: more to fit on than there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.app.evaluate.boxes import Boxes
from pipeline.image import Image, Pixels, encode_jpeg

_ZOOM: Final = (0.75, 1.35)
_GAMMA: Final = (0.74, 1.35)
_BRIGHTNESS: Final = (0.85, 1.15)
_QUALITY: Final = (50, 95)
_GREY: Final = (114, 114, 114)

VISIBLE: Final = 0.4
"""An object of which less than this part is left in the picture is not labelled any more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One way to change a picture, which keeps its size.

    Attributes:
        flipped: left is right.
        zoom: by how much it is larger; below 1, grey surrounds it.
        x: of the new left edge in the old picture, pixels.
        y: of the new upper edge there.
        gamma: the exponent of the luma.
        brightness: its factor.
        quality: of the JPEG that it is encoded as.
    """

    flipped: bool
    zoom: float
    x: float
    y: float
    gamma: float
    brightness: float
    quality: int

    def picture(self, image: Image) -> Image:
        """The picture, changed.

        Raises:
            DropMessage: it cannot be decoded.
        """
        pixels: Pixels = np.ascontiguousarray(image.pixels[:, ::-1]) if self.flipped else image.pixels
        matrix = np.array([[self.zoom, 0, -self.x * self.zoom], [0, self.zoom, -self.y * self.zoom]])
        size = image.width, image.height
        how = cv2.INTER_AREA if self.zoom < 1 else cv2.INTER_LINEAR
        moved = cv2.warpAffine(pixels, matrix, size, flags=how, borderValue=_GREY)
        curve = 255 * self.brightness * (np.arange(256) / 255) ** self.gamma
        lit = cv2.LUT(moved, np.clip(curve, 0, 255).astype(np.uint8)).astype(np.uint8)
        return Image(jpeg=encode_jpeg(lit, self.quality))

    def boxes(
        self, xyxy: npt.NDArray[np.float64], width: int, height: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Where N boxes (N, 4) of a picture of this size come to lie, cut at its edges; (N,) which are still there."""
        if self.flipped:
            xyxy = np.stack([width - xyxy[:, 2], xyxy[:, 1], width - xyxy[:, 0], xyxy[:, 3]], axis=1)
        moved = (xyxy - np.array([self.x, self.y, self.x, self.y])) * self.zoom
        cut = np.clip(moved, 0, [width, height, width, height])
        left = (cut[:, 2:] - cut[:, :2]).prod(axis=1)
        return cut, left > VISIBLE * (moved[:, 2:] - moved[:, :2]).prod(axis=1)


def changed(boxes: Boxes, changes: Sequence[Change], sizes: Sequence[tuple[int, int]]) -> Boxes:
    """The boxes of pictures of these widths and heights, of which each is changed in its way."""
    xyxy, kept = boxes.xyxy.copy(), np.ones(len(boxes), np.bool_)
    for picture in np.unique(boxes.pictures).tolist():
        here = boxes.pictures == picture
        xyxy[here], kept[here] = changes[picture].boxes(xyxy[here], *sizes[picture])
    return replace(boxes, xyxy=xyxy).of(kept)


def drawn_change(seed: tuple[int, ...], width: int, height: int) -> Change:
    """A change for a picture of this size: the same for the same seed.

    Flips, zooms with crops, and other light are what detectors are trained with (Zoph et al., "Learning Data
    Augmentation Strategies for Object Detection", ECCV 2020, arXiv:1906.11172), here in small doses: a changed picture
    must be as hard as one that a camera might take.
    """
    draw = np.random.default_rng(seed)
    zoom = _between(draw, _ZOOM)
    spare_x, spare_y = width - width / zoom, height - height / zoom
    return Change(
        flipped=bool(draw.random() < 0.5),
        zoom=zoom,
        x=float(draw.uniform(min(0, spare_x), max(0, spare_x))),
        y=float(draw.uniform(min(0, spare_y), max(0, spare_y))),
        gamma=_between(draw, _GAMMA),
        brightness=_between(draw, _BRIGHTNESS),
        quality=int(draw.integers(_QUALITY[0], _QUALITY[1], endpoint=True)),
    )


def _between(draw: np.random.Generator, ends: tuple[float, float]) -> float:
    """Drawn so that doubling is as likely as halving."""
    return math.exp(draw.uniform(*np.log(ends)))
