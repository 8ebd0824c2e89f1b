"""Letterbox: a picture scaled into a model's input with its shape kept, centred on grey, and the way back for boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.image import Pixels

Float32 = npt.NDArray[np.float32]

GREY: Final = 114
"""What YOLO models are trained to see around a picture, of 255."""

_UNIT: Final = np.float32(1 / 255)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a source picture lies in an input, both in pixels."""

    source_width: int
    source_height: int
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def fit(cls, source_width: int, source_height: int, input_height: int, input_width: int) -> Placement:
        """The largest place in the input that keeps the picture's shape, centred."""
        scale = min(input_width / source_width, input_height / source_height)
        width = min(input_width, max(1, round(source_width * scale)))
        height = min(input_height, max(1, round(source_height * scale)))
        left, top = (input_width - width) // 2, (input_height - height) // 2
        return cls(source_width, source_height, left, top, width, height)

    def to_source(self, boxes: Float32) -> Float32:
        """Boxes (N, 4) xyxy in input pixels as boxes in source pixels, clipped to the picture."""
        scale = (self.source_width / self.width, self.source_height / self.height)
        offset = (self.left, self.top)
        return self.clip((boxes - np.array(offset * 2, np.float32)) * np.array(scale * 2, np.float32))

    def clip(self, boxes: Float32) -> Float32:
        """Boxes (N, 4) xyxy in source pixels, cut at the picture's edges."""
        edges = np.array((self.source_width, self.source_height) * 2, np.float32)
        return np.clip(boxes, np.float32(0), edges)


class Letterbox:
    """Fills the input tensor of one model, in the same memory each time; so one thread at a time.

    The tensor is float32 RGB in 0..1, (1, 3, H, W), or (1, H, W, 3) with ``channels_last``.
    """

    def __init__(self, height: int, width: int, *, grey: int = GREY, channels_last: bool = False) -> None:
        self.height = height
        self.width = width
        self._grey = np.float32(grey) * _UNIT
        self._channels_last = channels_last
        shape = (1, height, width, 3) if channels_last else (1, 3, height, width)
        self._tensor = np.full(shape, self._grey, np.float32)
        self._planes = np.moveaxis(self._tensor[0], -1, 0) if channels_last else self._tensor[0]
        self._live: Placement | None = None

    def fill(self, pixels: Pixels, place: Placement) -> Float32:
        """Put a picture at its place. The tensor returned is valid until the next call.

        Args:
            pixels: (h, w, 3) uint8 BGR of any size: the source, or a smaller copy of it.
            place: where the source lies in this input.
        """
        if place != self._live:
            self._tensor.fill(self._grey)
            self._live = place
        if pixels.shape[:2] != (place.height, place.width):
            pixels = np.asarray(
                cv2.resize(pixels, (place.width, place.height), interpolation=cv2.INTER_LINEAR), np.uint8
            )
        live = self._planes[:, place.top : place.top + place.height, place.left : place.left + place.width]
        for plane, channel in zip(live, reversed(cv2.split(pixels)), strict=True):
            np.multiply(channel, _UNIT, out=plane)
        return self._tensor
