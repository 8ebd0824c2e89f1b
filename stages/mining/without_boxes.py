"""What the miners that judge by boxes make of a frame without any.

Sedna calls such a frame easy, which misses just the objects that the little model does not see.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.model import Verdict
from stages.mining.miner import Miner, Share, View


class BoxMiner(Miner):
    """A miner that judges by the reported boxes, and by ``empty`` where there are none."""

    empty: Literal["easy", "hard", "suspicious"] = Field(
        "suspicious",
        description="a frame without boxes: easy (as in Sedna), hard, or hard if its best raw score is suspicious",
    )
    empty_low: Share = Field(0.1, description="the best raw score from which on a frame without boxes is suspicious")
    empty_high: Share = Field(1.0, description="the best raw score from which on it is not; 1 for no such limit")

    @model_validator(mode="after")
    def _band_is_no_gap(self) -> Self:
        if self.empty_low > self.empty_high:
            raise ValueError(f"empty_low {self.empty_low:g} is above empty_high {self.empty_high:g}; swap them")
        return self

    def judge(self, view: View) -> Verdict:
        """Judge by the boxes, or by what ``empty`` says where there are none."""
        return self.judge_boxes(view) if len(view.detections) else self._judge_empty(view)

    def judge_boxes(self, view: View) -> Verdict:
        """Judge a frame with one reported box or more."""
        raise NotImplementedError

    def _judge_empty(self, view: View) -> Verdict:
        if self.empty != "suspicious":
            reason = f"nothing was reported, and empty={self.empty}"
            return Verdict(hard=self.empty == "hard", miner=self.name, score=None, threshold=None, reason=reason)
        best = view.candidates.best
        seen = f"nothing was reported; the best raw score {best:.2f}"
        if np.float32(best) >= np.float32(self.empty_high):
            reason = f"{seen} is {self.empty_high:g} or more (empty=suspicious)"
            return Verdict(hard=False, miner=self.name, score=None, threshold=None, reason=reason)
        hard = bool(np.float32(best) >= np.float32(self.empty_low))
        limit = f"the {self.empty_low:g} from which on that is suspicious"
        against = f" is {'at or above' if hard else 'below'} {limit} (empty=suspicious)"
        return self.verdict(hard=hard, score=best, threshold=self.empty_low, found=seen, against=against)
