"""Motion: something moves in the picture, told from the picture alone."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from pipeline.model import Verdict
from stages.mining.duplicates import largest_differences
from stages.mining.memory import Memory, Shown
from stages.mining.miner import Miner, View


class Motion(Miner):
    """Hard if a part of the picture is not what it was in the frame before (frame differencing).

    Small grey pictures are compared block by block, as for near-duplicates, so that something small that moves is not
    lost in the mean of a large picture.
    """

    name: ClassVar[str] = "Motion"
    by_picture: ClassVar[bool] = True
    needs_picture: ClassVar[bool] = True
    over_time: ClassVar[bool] = True

    difference: float = Field(
        20.0, gt=0, le=255, description="mean difference of luma in the block of the small picture that changed most"
    )
    gap_s: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="frames that are further apart, in seconds, are not compared"
    )

    def judge(self, view: View) -> Verdict:
        """In a frame by itself nothing moves."""
        return self._after(None, view)

    def judge_next(self, memory: Memory, view: View) -> tuple[Memory, Verdict]:
        """Judge a frame by the one before it. Score: the largest difference; threshold: ``difference``."""
        return replace(memory, shown=Shown(view.media_s, view.grey)), self._after(memory.shown, view)

    def _after(self, shown: Shown | None, view: View) -> Verdict:
        compared = shown is not None and 0 <= view.media_s - shown.media_s <= self.gap_s
        if shown is None or not compared or shown.grey.shape != view.grey.shape:
            found = "there is no frame just before"
            return self.verdict(hard=False, score=0, threshold=self.difference, found=found)
        (most,) = largest_differences([shown.grey], view.grey)
        found = f"the block that changed most has changed by {most:.1f}"
        return self.verdict(hard=most >= self.difference, score=most, threshold=self.difference, found=found)
