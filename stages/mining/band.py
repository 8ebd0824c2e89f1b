"""UncertaintyBand: boxes that score neither high nor low."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.model import Verdict
from stages.mining.miner import Miner, Share, View


class UncertaintyBand(Miner):
    """Hard if ``least_boxes`` or more score in [low, high], raw ones included.

    It is the rule of Roboflow Inference's active learning (samplers/close_to_threshold.py): sample what is close to a
    threshold.
    """

    name: ClassVar[str] = "UncertaintyBand"

    low: Share = Field(0.3, description="the lowest score in the band")
    high: Share = Field(0.8, description="the highest score in the band")
    least_boxes: int = Field(7, ge=1, description="a frame is hard that has so many boxes in the band")

    @model_validator(mode="after")
    def _band_is_no_gap(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}; swap them")
        return self

    def at(self, score: float) -> Mapping[str, float | int]:
        """A count of boxes."""
        return {"least_boxes": max(1, math.ceil(score))}

    def judge(self, view: View) -> Verdict:
        """Score: how many boxes are in the band; threshold: ``least_boxes``."""
        scores = view.candidates.scores
        # what is no number is outside of nothing
        inside = int((~((scores < np.float32(self.low)) | (scores > np.float32(self.high)))).sum())
        hard = inside >= self.least_boxes
        found = f"{inside} boxes score {self.low:g} to {self.high:g}"
        against = f", {'as many as' if hard else 'fewer than'} the {self.least_boxes} that make a frame hard"
        return self.verdict(hard=hard, score=inside, threshold=self.least_boxes, found=found, against=against)
