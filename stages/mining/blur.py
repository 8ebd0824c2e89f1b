"""Blur: pictures out of focus or smeared by motion, told from the picture alone."""

from __future__ import annotations

from typing import ClassVar, Final

import cv2
import numpy as np
from pydantic import Field

from pipeline.image import Pixels
from pipeline.model import Verdict
from stages.mining.miner import Miner, View

TILE: Final = 64
"""The side of a tile, pixels."""

_TILES: Final = 3
_LEAST: Final = 2


class Blur(Miner):
    """Hard if the picture is blurred: the variance of its Laplacian is small.

    The measure is LAPV of J. L. Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000. It is
    taken of 3 x 3 tiles of 64 pixels that are spread over the picture at its full size: of all of 1080p it would take
    20 ms.
    """

    name: ClassVar[str] = "Blur"
    by_picture: ClassVar[bool] = True
    needs_picture: ClassVar[bool] = True

    sharpness: float = Field(700.0, gt=0, allow_inf_nan=False, description="a picture of less variance is blurred")

    def judge(self, view: View) -> Verdict:
        """Score: sharpness / (sharpness + variance), so that 1 is no contrast at all; threshold: a half."""
        variance = laplacian_variance(view.picture.pixels)
        found = f"the Laplacian has a variance of {variance:.1f}"
        score = self.sharpness / (self.sharpness + variance)
        return self.verdict(hard=variance <= self.sharpness, score=score, threshold=0.5, found=found)


def laplacian_variance(pixels: Pixels) -> float:
    """Of the luma (ITU-R BT.601) of a BGR picture, over all its tiles together."""
    height, width = pixels.shape[:2]
    rows, columns = (np.linspace(0, max(0, side - TILE), _TILES, dtype=int).tolist() for side in (height, width))
    tiles = [pixels[y : y + TILE, x : x + TILE] for y in rows for x in columns]
    grey = cv2.cvtColor(np.concatenate(tiles), cv2.COLOR_BGR2GRAY)
    edges = cv2.Laplacian(grey, cv2.CV_16S).reshape(len(tiles), *tiles[0].shape[:2])
    inside = edges[:, 1:-1] if edges.shape[1] > _LEAST else edges  # the other rows lie between two tiles
    _, deviation = cv2.meanStdDev(inside.reshape(-1, edges.shape[2]))
    return float(deviation[0, 0]) ** 2
