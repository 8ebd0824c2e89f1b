"""Blur: pictures out of focus or smeared by motion, told from the picture alone."""

from __future__ import annotations

import itertools
from typing import ClassVar, Final

import cv2
import numpy as np
from pydantic import Field

from pipeline.image import Pixels
from pipeline.model import Verdict
from stages.mining.miner import Miner, View

STRIPS: Final = 9
"""So many strips of the picture are looked at, spread over its height; they lie left, centred and right in turn."""

WIDTH: Final = 640
"""Of a strip, pixels."""

_ROWS: Final = 3  # the middle one has a Laplacian, and nothing of it comes from beyond the strip
_ACROSS: Final = 3


class Blur(Miner):
    """Hard if the picture is blurred: the variance of its Laplacian is small.

    The measure is LAPV of J. L. Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000. It is
    taken of nine lines of up to 640 pixels that are spread over the picture at its full size: of all of 1080p it would
    take 5 ms.
    """

    name: ClassVar[str] = "Blur"
    by_picture: ClassVar[bool] = True
    needs_picture: ClassVar[bool] = True

    sharpness: float = Field(620.0, gt=0, allow_inf_nan=False, description="a picture of less variance is blurred")

    def judge(self, view: View) -> Verdict:
        """Score: sharpness / (sharpness + variance), so that 1 is no contrast at all; threshold: a half."""
        variance = laplacian_variance(view.picture.pixels)
        found = f"the Laplacian has a variance of {variance:.1f}"
        score = self.sharpness / (self.sharpness + variance)
        return self.verdict(hard=variance <= self.sharpness, score=score, threshold=0.5, found=found)


def laplacian_variance(pixels: Pixels) -> float:
    """Of the luma (ITU-R BT.601) of a BGR picture, over the middle lines of all its strips together."""
    height, width = pixels.shape[:2]
    rows = np.linspace(0, max(0, height - _ROWS), STRIPS, dtype=int).tolist()
    columns = np.linspace(0, max(0, width - WIDTH), _ACROSS, dtype=int).tolist()
    places = zip(rows, itertools.cycle(columns), strict=False)
    strips = np.concatenate([pixels[y : y + _ROWS, x : x + WIDTH] for y, x in places])
    edges = cv2.Laplacian(cv2.cvtColor(strips, cv2.COLOR_BGR2GRAY), cv2.CV_16S)
    high = len(edges) // STRIPS  # lower than a strip where the picture is
    _, deviation = cv2.meanStdDev(edges[high // 2 :: high])
    return float(deviation[0, 0]) ** 2
