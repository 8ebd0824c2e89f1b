"""A small grey picture, to compare frames by."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.image import Image

Grey = npt.NDArray[np.uint8]
"""(h, 64) uint8 luma."""

WIDTH: Final = 64
"""Of the small picture, pixels."""

_SAMPLES: Final = 4
"""So many times as wide a picture is sampled before it is averaged: to average all of 1080p would take 3 ms."""


def small_grey(image: Image) -> Grey:
    """The luma (ITU-R BT.601) of a picture at 64 pixels' width, its sides in proportion.

    Each pixel is the mean of 4 x 4 samples, bilinear ones, spread over its area (or of all of it, where the picture is
    not that large). It takes about 0.15 ms at any size where there are pixels; a JPEG is decoded at a fraction of its
    size.

    Raises:
        DropMessage: the picture is a JPEG that cannot be decoded.
    """
    height = max(1, round(image.height * WIDTH / image.width))
    pixels = image.pixels_at_least(WIDTH * _SAMPLES, height * _SAMPLES)
    if pixels.shape[1] > WIDTH * _SAMPLES:
        pixels = np.asarray(cv2.resize(pixels, (WIDTH * _SAMPLES, height * _SAMPLES)), np.uint8)
    small = cv2.resize(pixels, (WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
