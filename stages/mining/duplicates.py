"""Near-duplicates: a hard frame that almost equals one that was sent teaches nothing new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

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
        for other in reversed(sent):
            near_in_time = 0 <= view.media_s - other.media_s <= self.within_s
            if (
                near_in_time
                and other.seq != view.seq
                and self._same_boxes(other, view)
                and self._same_grey(other, view)
            ):
                return other.seq
        return None

    def with_sent(self, sent: tuple[Sent, ...], view: View) -> tuple[Sent, ...]:
        """What is remembered when this frame is sent too."""
        seen = view.detections
        new = Sent(view.seq, view.media_s, view.grey, seen.boxes[:MOST_BOXES], seen.labels[:MOST_BOXES])
        return (*sent, new)[-KEPT:]

    def _same_boxes(self, other: Sent, view: View) -> bool:
        boxes, labels = view.detections.boxes[:MOST_BOXES], view.detections.labels[:MOST_BOXES]
        if len(boxes) != len(other.boxes):
            return False
        overlap = np.where(other.labels[:, None] == labels[None, :], iou(other.boxes, boxes), -1.0)
        return len(links(overlap, self.box_iou)) == len(boxes)

    def _same_grey(self, other: Sent, view: View) -> bool:
        return view.grey.shape == other.grey.shape and largest_difference(view.grey, other.grey) <= self.grey


def largest_difference(left: Grey, right: Grey) -> float:
    """The mean absolute difference in the block where it is largest, 0 to 255."""
    difference = np.abs(left.astype(np.int16) - right)
    rows, columns = np.arange(0, left.shape[0], BLOCK), np.arange(0, left.shape[1], BLOCK)
    sums = np.add.reduceat(np.add.reduceat(difference, rows, axis=0, dtype=np.int64), columns, axis=1)
    heights, widths = np.diff(np.append(rows, left.shape[0])), np.diff(np.append(columns, left.shape[1]))
    return float((sums / np.outer(heights, widths)).max())
