"""DifficultCase: objects that show at a low threshold only, in a frame that has many or small ones."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.model import Verdict
from stages.mining.miner import Miner, Share, View
from stages.vision.iou import areas

Positive = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class DifficultCase(Miner):
    """Hard if the counts of boxes at two thresholds differ, and there are ``many`` boxes or one as small as ``small``.

    It is the difficult-case discriminator of Cao et al., "Edge-Cloud Collaborated Object Detection via Difficult-Case
    Discriminator" (2021, arXiv:2108.12858): boxes between the thresholds are objects that the little model misses,
    and it misses them where they are many or small.
    """

    name: ClassVar[str] = "DifficultCase"

    low: Share = Field(0.3, description="boxes from this score on are there, perhaps")
    high: Share = Field(0.6, description="boxes from this score on are there")
    many: int = Field(8, ge=1, description="so many that are there perhaps are many")
    small: Positive = Field(0.0005, description="one that covers this part of the picture, or less, is small")

    @model_validator(mode="after")
    def _thresholds_differ(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}; choose a lower one")
        return self

    def judge(self, view: View) -> Verdict:
        """Score: the less of the difference and of how many or small they are; threshold: 1, where both rules hold."""
        scores = view.candidates.scores
        perhaps = ~(scores < np.float32(self.low))  # what is no number is not sure
        n, sure = int(perhaps.sum()), int((scores >= np.float32(self.high)).sum())
        part = float(areas(view.candidates.boxes[perhaps]).min()) / (view.width * view.height) if n else 1.0
        demanding = max(n / self.many, self.small / max(part, 1e-6))
        score = min(float(n - sure), demanding)
        hard = score >= 1
        found = f"{n} boxes score {self.low:g} or more and {sure} of them {self.high:g}; the smallest covers {part:.2%}"
        against = f": {'a difficult case' if hard else 'none'} ({self.many} are many, {self.small:.2%} is small)"
        return self.verdict(hard=hard, score=score, threshold=1, found=found, against=against)
