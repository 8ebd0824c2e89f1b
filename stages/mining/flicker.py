"""Flicker: what the little model sees changes from frame to frame in a way that things do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Final

import numpy as np
from pydantic import Field

from pipeline.model import Verdict
from stages.mining.memory import Memory, Seen
from stages.mining.miner import Miner, Share, View
from stages.vision.iou import iou, links

MOST_BOXES: Final = 50
"""So many of the best boxes of a frame are followed."""


class Flicker(Miner):
    """Hard if boxes flicker: one vanishes, shows for one frame, or changes its class.

    Detections that have no neighbour in time are mostly wrong, and gaps in a track mostly misses (SouYoung Jin et al.,
    Unsupervised Hard Example Mining from Videos for Improved Object Detection, ECCV 2018). Boxes of neighbouring frames
    are linked by IoU, greedily, the largest first. A box that leaves at the picture's edge does not count.
    """

    name: ClassVar[str] = "Flicker"
    over_time: ClassVar[bool] = True

    events: int = Field(1, ge=1, description="so many boxes must flicker")
    link_iou: Share = Field(0.3, description="boxes of two frames that overlap so much are one thing")
    edge: Share = Field(0.02, description="a box so near to the picture's edge may leave: a part of its sides")
    gap_s: float = Field(2.0, gt=0, allow_inf_nan=False, description="frames further apart are not compared")

    def at(self, score: float) -> Mapping[str, float | int]:
        """A count of events."""
        return {"events": max(1, math.ceil(score))}

    def judge(self, view: View) -> Verdict:
        """A frame by itself does not flicker."""
        return self._after(None, view)[1]

    def judge_next(self, memory: Memory, view: View) -> tuple[Memory, Verdict]:
        """Judge a frame by what was seen in the one before it.

        Score: how many boxes vanished, showed for one frame, or changed class; threshold: ``events``.
        """
        seen, verdict = self._after(memory.seen, view)
        return replace(memory, seen=seen), verdict

    def _after(self, seen: Seen | None, view: View) -> tuple[Seen, Verdict]:
        boxes, labels = view.detections.boxes[:MOST_BOXES], view.detections.labels[:MOST_BOXES]
        if seen is None or not 0 <= view.media_s - seen.media_s <= self.gap_s:
            verdict = self.verdict(hard=False, score=0, threshold=self.events, found="there is no frame just before")
            return Seen(view.seq, view.media_s, boxes, labels, np.zeros(len(boxes), np.bool_), first=True), verdict
        old, new = np.array(links(iou(seen.boxes, boxes), self.link_iou), np.intp).reshape(-1, 2).T
        linked = np.zeros(len(boxes), np.bool_)
        linked[new] = True
        flipped = int((seen.labels[old] != labels[new]).sum())
        gone = self._inside(seen, view)
        gone[old] = False
        blinked = 0 if seen.first else int((gone & ~seen.linked).sum())
        vanished = int(gone.sum()) - blinked
        count = flipped + vanished + blinked
        words = f"{vanished} boxes vanished, {blinked} showed for one frame, {flipped} changed class"
        verdict = self.verdict(hard=count >= self.events, score=count, threshold=self.events, found=words)
        return Seen(view.seq, view.media_s, boxes, labels, linked, first=False), verdict

    def _inside(self, seen: Seen, view: View) -> np.typing.NDArray[np.bool_]:
        """Which boxes were clear of the picture's edge."""
        margin = self.edge * np.array((view.width, view.height), np.float32)
        far = np.array((view.width, view.height), np.float32) - margin
        inside = (seen.boxes[:, :2] > margin).all(axis=1) & (seen.boxes[:, 2:] < far).all(axis=1)
        return np.asarray(inside, np.bool_)
