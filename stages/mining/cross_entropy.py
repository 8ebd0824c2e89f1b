"""CrossEntropy: the scores say little, by their entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from pipeline.model import Verdict
from stages.mining.miner import View
from stages.mining.without_boxes import BoxMiner


class CrossEntropy(BoxMiner):
    """Hard if 1 + sum(p ln p) / ln n < threshold_cross_entropy (KubeEdge Sedna, hard_example_mining.py).

    The p are the scores of the n reported boxes. Where Sedna's formula has no value, this is its limit or the nearest
    one: p ln p is 0 for p = 0, and n = 1 is divided by ln 2, as the smallest n that has a logarithm above 0.
    """

    name: ClassVar[str] = "CrossEntropy"

    threshold_cross_entropy: Annotated[float, Field(allow_inf_nan=False)] = Field(
        0.5, description="a frame is hard if 1 minus the entropy of its scores, divided by ln n, is less than this"
    )

    def at(self, score: float) -> Mapping[str, float | int]:
        """Its complement as ``threshold_cross_entropy``."""
        return {"threshold_cross_entropy": round(1 - score, 9)}

    def judge_boxes(self, view: View) -> Verdict:
        """Score: 1 - confidence, the entropy divided by ln n; threshold: 1 - ``threshold_cross_entropy``."""
        confidence = 1 - _normal_entropy(view.detections.scores.tolist())
        limit = self.threshold_cross_entropy
        hard = not (np.float32(confidence) >= np.float32(limit))
        return self.verdict(
            hard=hard,
            score=1 - confidence,
            threshold=1 - limit,
            found=f"the confidence by cross entropy {confidence:.2f}",
            against=f" is {'below' if hard else 'at or above'} {limit:g}",
        )


def _normal_entropy(scores: list[float]) -> float:
    """-sum(p ln p) / ln n, in whatever order the scores come."""
    return -math.fsum(p * math.log(p) for p in scores if p != 0) / math.log(max(2, len(scores)))
