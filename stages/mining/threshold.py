"""Threshold: the boxes score low on average."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.model import Verdict
from stages.mining.miner import Share, View
from stages.mining.without_boxes import BoxMiner


class Threshold(BoxMiner):
    """Hard if the mean score < threshold (KubeEdge Sedna, hard_example_mining.py), compared as float32."""

    name: ClassVar[str] = "Threshold"

    threshold: Share = Field(0.5, description="a frame is hard if its boxes score less than this on average")

    def at(self, score: float) -> Mapping[str, float | int]:
        """Its complement as ``threshold``."""
        return {"threshold": round(1 - score, 9)}

    def judge_boxes(self, view: View) -> Verdict:
        """Score: 1 - mean score; threshold: 1 - ``threshold``."""
        # fsum: the same mean in whatever order the boxes come
        mean = math.fsum(view.detections.scores.tolist()) / len(view.detections)
        hard = not (np.float32(mean) >= np.float32(self.threshold))
        return self.verdict(
            hard=hard,
            score=1 - mean,
            threshold=1 - self.threshold,
            found=f"the mean score {mean:.2f}",
            against=f" is {'below' if hard else 'at or above'} {self.threshold:g}",
        )
