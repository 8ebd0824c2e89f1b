"""Near-duplicates: a hard frame that almost equals one that was sent teaches nothing new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from stages.mining.memory import Sent
from stages.mining.miner import View
from stages.vision.grey import Grey
from stages.vision.iou import iou, links

BLOCK: Final = 8
"""Greys are compared in blocks of so many pixels, as mpdecimate does."""

KEPT: Final = 3
"""So many of the last frames that were sent are remembered."""

MOST_BOXES: Final = 50


@dataclass(frozen=True, slots=True)
class Duplicates:
    """When two frames are almost equal: their small grey pictures in every block, and their boxes one by one.

    Blocks are compared as FFmpeg's filter ``mpdecimate`` does, so that a change in one corner is not lost in the mean
    of a large picture; boxes of the same class must overlap, so that what the model sees is the same as well.

    Attributes:
        grey: the largest mean difference of luma in a block of 8x8 pixels of 64 across, of 255.
        box_iou: by how much each two boxes must overlap.
        within_s: after so long in media time a frame is sent again.
    """

    grey: float = 8.0
    box_iou: float = 0.7
    within_s: float = 60.0

    def of(self, sent: tuple[Sent, ...], view: View) -> int | None:
        """The ``seq`` of a frame in ``sent`` that the view almost equals, the newest first; None if there is none."""
        count = len(view.detections.boxes[:MOST_BOXES])
        comparable = [
            other
            for other in reversed(sent)
            if 0 <= view.media_s - other.media_s <= self.within_s and other.seq != view.seq
            if len(other.boxes) == count and other.grey.shape == view.grey.shape
        ]
        return next((other.seq for other in self._same_boxes(self._same_grey(comparable, view), view)), None)

    def with_sent(self, sent: tuple[Sent, ...], view: View) -> tuple[Sent, ...]:
        """What is remembered when this frame is sent too."""
        seen = view.detections
        new = Sent(view.seq, view.media_s, view.grey, seen.boxes[:MOST_BOXES], seen.labels[:MOST_BOXES])
        return (*sent, new)[-KEPT:]

    # The few that are compared are compared together: numpy takes hardly longer for a few small tables than for one.

    def _same_grey(self, others: Sequence[Sent], view: View) -> Sequence[Sent]:
        if not others:
            return ()
        differences = largest_differences([other.grey for other in others], view.grey)
        return [other for other, most in zip(others, differences, strict=True) if most <= self.grey]

    def _same_boxes(self, others: Sequence[Sent], view: View) -> Iterator[Sent]:
        if not others:
            return
        boxes, labels = view.detections.boxes[:MOST_BOXES], view.detections.labels[:MOST_BOXES]
        k, n = len(others), len(boxes)
        overlaps = iou(np.concatenate([other.boxes for other in others]), boxes)
        over = (overlaps >= self.box_iou) & (np.concatenate([other.labels for other in others])[:, None] == labels)
        for other, overlap, pairs in zip(others, overlaps.reshape(k, n, n), over.reshape(k, n, n), strict=True):
            count = int(np.count_nonzero(pairs))
            if count == n:  # then they are one by one if each box has one
                same = bool(pairs.any(axis=0).all() and pairs.any(axis=1).all())
            else:
                same = count > n and len(links(np.where(pairs, overlap, -1.0), self.box_iou)) == n
            if same:
                yield other


def largest_differences(others: Sequence[Grey], grey: Grey) -> list[float]:
    """For each of the others the mean absolute difference in the block where it is largest, 0 to 255.

    Args:
        others: one or more of the shape of ``grey``.
        grey: what they are compared with.
    """
    height, n = len(grey), len(others)
    tops, sizes = _blocks(height, n)
    difference = cv2.absdiff(np.concatenate(others), np.concatenate([grey] * n))
    across = cv2.reduce(difference.reshape(-1, BLOCK), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S).reshape(n * height, -1)
    sums = np.add.reduceat(across, tops, axis=0).max(axis=1)
    return [float(most) for most in (sums.reshape(n, -1) / sizes).max(axis=1)]


@lru_cache(maxsize=2 * KEPT)
def _blocks(height: int, n: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The first row of each block in so many greys of this height, one above the other, and how many pixels it has."""
    tops = np.arange(0, height, BLOCK)
    return np.add.outer(height * np.arange(n), tops).ravel(), BLOCK * np.minimum(BLOCK, height - tops)
