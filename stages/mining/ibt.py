"""IBT, image and box threshold: too large a part of the boxes scores low."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.model import Verdict
from stages.mining.miner import Share, View
from stages.mining.without_boxes import BoxMiner


class IBT(BoxMiner):
    """Hard if count(score <= threshold_box) / n >= 1 - threshold_img (KubeEdge Sedna, hard_example_mining.py).

    The image threshold is compared as written: a tenth of the boxes is enough at 0.9, although 1 - 0.9 is a little
    less than 0.1 in binary. Scores are compared as float32, which they are.
    """

    name: ClassVar[str] = "IBT"

    threshold_box: Share = Field(0.5, description="a box that scores this or less is a low one")
    threshold_img: Share = Field(0.5, description="a frame is hard if 1 minus this, or more, of its boxes are low")

    def at(self, score: float) -> Mapping[str, float | int]:
        """A part of the boxes as ``threshold_img``."""
        return {"threshold_img": round(1 - score, 9)}

    def judge_boxes(self, view: View) -> Verdict:
        """Score: the part of the boxes that are low; threshold: 1 - ``threshold_img``."""
        # a NaN could not come this far; if it did, it would count as low rather than as sure
        low, n = int((~(view.detections.scores > np.float32(self.threshold_box))).sum()), len(view.detections)
        part, enough = round(low / n, 9), round(1 - self.threshold_img, 9)
        hard = part >= enough
        found = f"{low} of {n} boxes score {self.threshold_box:g} or less: {part:.2f}"
        against = f" is {'at or above' if hard else 'below'} {enough:g}"
        return self.verdict(hard=hard, score=part, threshold=enough, found=found, against=against)
