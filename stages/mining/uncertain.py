"""How uncertain boxes are, and what that says of their frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.model import Detections, Verdict
from stages.mining.miner import Miner, Share, View

Floats = npt.NDArray[np.float64]

MOST_BOXES: Final = 100
"""So many of a frame's best boxes are looked at, as many as COCO counts: it bounds the time that a frame takes."""

Limit = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="a frame is hard whose boxes have this or more of it together")
]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The boxes that are looked at: (N, 4) xyxy, (N,) scores as float64, and (N,) labels."""

    boxes: npt.NDArray[np.float32]
    scores: Floats
    labels: npt.NDArray[np.int32]


class UncertainBoxes(Miner):
    """A miner that gives each box an uncertainty, and each frame what its boxes have together.

    It looks at the raw boxes too, down to ``least``. So a frame without reported boxes needs no rule of its own: it has
    a score on the same scale, 0 where nothing at all was seen. The ways to put boxes together are those of Brust,
    Käding, Denzler, "Active Learning for Deep Object Detection" (2019, arXiv:1809.09875) and, for the best k, of Roy,
    Unmesh, Namboodiri, "Deep active learning for object detection" (BMVC 2018).
    """

    aggregate: Literal["sum", "max", "mean", "top"] = Field(
        "sum", description="what a frame has of its boxes: their sum, the highest, the mean, or the mean of the `top`"
    )
    top: int = Field(5, ge=1, description="so many of the most uncertain boxes count with aggregate=top")
    least: Share = Field(0.2, description="a raw box that scores less is not looked at")

    threshold: Limit
    """Each miner has a default of its own."""

    what: ClassVar[str]
    """What is measured, in words."""

    def uncertainties(self, seen: Columns) -> Floats:
        """(N,) from 0, sure, upwards, for N boxes."""
        raise NotImplementedError

    def judge(self, view: View) -> Verdict:
        """Score: what the boxes have together; threshold: the miner's own."""
        seen = view.candidates
        kept = best_of(seen, self.least)
        columns = Columns(seen.boxes[kept], seen.scores[kept].astype(np.float64), seen.labels[kept])
        each = self.uncertainties(columns)
        score = together(each, self.aggregate, self.top)
        hard = not (score < self.threshold)
        how = {"sum": "in all", "max": "at most", "mean": "on average", "top": f"on average of the first {self.top}"}
        boxes = "1 box" if len(kept) == 1 else f"{len(kept)} boxes"
        found = f"the {self.what} of {boxes} is {score:.2f} {how[self.aggregate]}"
        against = f", {'at or above' if hard else 'below'} {self.threshold:g}"
        return self.verdict(hard=hard, score=score, threshold=self.threshold, found=found, against=against)


def best_of(candidates: Detections, least: float) -> npt.NDArray[np.intp]:
    """The indices of the ``MOST_BOXES`` best of those that score ``least`` or more, in whatever order they come."""
    kept = np.flatnonzero(~(candidates.scores < np.float32(least)))  # what is no number is not sure
    if len(kept) <= MOST_BOXES:
        return kept
    return kept[np.argsort(-candidates.scores[kept], kind="stable")[:MOST_BOXES]]


def together(uncertainties: Floats, aggregate: str, top: int) -> float:
    """What a frame has of its boxes; 0 where it has none."""
    if not len(uncertainties):
        return 0.0
    falling = np.sort(uncertainties)[::-1]  # sums in one order, whatever that of the boxes
    match aggregate:
        case "max":
            return float(falling[0])
        case "mean":
            return float(falling.mean())
        case "top":
            return float(falling[:top].mean())
    return float(falling.sum())
