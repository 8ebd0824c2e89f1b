"""EmptySuspicious: nothing is reported, and yet something seems to be there."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.model import Verdict
from stages.mining.miner import Miner, Share, View


class EmptySuspicious(Miner):
    """Hard if nothing is reported and the best raw score is ``threshold`` or more; a frame with boxes is easy.

    It is the rule ``empty=suspicious`` of the miners that judge by boxes, alone. Sedna (hard_example_mining.py) calls
    a frame without boxes easy, which misses just the objects that the little model does not see.
    """

    name: ClassVar[str] = "EmptySuspicious"

    threshold: Share = Field(0.1, description="the best raw score from which on a frame without boxes is hard")

    def judge(self, view: View) -> Verdict:
        """Score: the best raw score where nothing is reported, else 0; threshold: as set."""
        reported = len(view.detections)
        score = 0.0 if reported else view.candidates.best
        hard = not reported and bool(np.float32(score) >= np.float32(self.threshold))
        found = (
            f"{reported} boxes were reported" if reported else f"nothing was reported; the best raw score {score:.2f}"
        )
        against = "" if reported else f" is {'at or above' if hard else 'below'} {self.threshold:g}"
        return self.verdict(hard=hard, score=score, threshold=self.threshold, found=found, against=against)
