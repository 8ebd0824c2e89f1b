"""What a miner is: its parameters, typed and checked, and a pure function of what it sees."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from pipeline.image import Image
from pipeline.model import Detections, Verdict
from stages.mining.memory import Memory
from stages.vision.grey import Grey, small_grey

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A score or a part of a whole: 0 to 1."""

_DIGITS: Final = 9


@dataclass(frozen=True, eq=False)  # no slots: what is computed of the picture is kept
class View:
    """What a miner sees of a frame. There is no wall clock in it.

    Attributes:
        media_s: position in the source, seconds.
        width: of the picture, pixels.
        height: of the picture, pixels.
        candidates: everything that the model saw, down to the detector's floor.
        detections: those of them that are reported.
        confidence: the score from which on they are.
        image: the picture, where there is one at hand.
        jpeg_bytes: what it takes as JPEG, where there is none at hand and that is known.
    """

    stream: str
    seq: int
    media_s: float
    width: int
    height: int
    candidates: Detections
    detections: Detections
    confidence: float
    image: Image | None = None
    jpeg_bytes: int | None = None

    @property
    def upload_bytes(self) -> int | None:
        """What it takes to send it, if that is known or can be found out: the picture is encoded for it."""
        return len(self.image.jpeg) if self.image else self.jpeg_bytes

    @cached_property
    def grey(self) -> Grey:
        """(h, 64) uint8: a small picture of the luma; see ``small_grey``. It is made when a miner first asks.

        Raises:
            DropMessage: the picture cannot be decoded.
            ValueError: there is none.
        """
        return small_grey(self.picture)

    @property
    def picture(self) -> Image:
        """The picture.

        Raises:
            ValueError: there is none.
        """
        if self.image is None:
            raise ValueError(f"{self.stream}/{self.seq}: this miner needs the picture, and there is none at hand")
        return self.image


@dataclass(frozen=True, slots=True)
class Judged(Verdict):
    """What a miner alone says of a frame.

    Attributes:
        found: the part of ``reason`` without the miner's own threshold, in whose place a budget sets another.
    """

    found: str = ""


class Miner(BaseModel):
    """A hard example miner. Its fields are its parameters; they may come as strings, as Sedna hands them on.

    ``judge`` is a pure function: the same view gets the same verdict, whatever came before. So is ``judge_next``, of
    view and memory.
    """

    # A process has one miner of a score: what checks the parameters of the others is never made.
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, defer_build=True)

    name: ClassVar[str]
    """By which people choose it and verdicts name it."""

    audited: ClassVar[bool] = True
    """Whether an audit may send what this one finds easy."""

    by_picture: ClassVar[bool] = False
    """Whether it needs nothing that the edge's model sees."""

    needs_picture: ClassVar[bool] = False
    """Whether it looks at the picture itself."""

    over_time: ClassVar[bool] = False
    """Whether a verdict depends on the frames before, by way of ``judge_next``."""

    @abstractmethod
    def judge(self, view: View) -> Verdict:
        """Whether the frame is hard, and why."""

    def judge_next(self, memory: Memory, view: View) -> tuple[Memory, Verdict]:
        """Judge a frame by what is remembered after the one before it: the memory after this one, and the verdict."""
        return memory, self.judge(view)

    def at(self, score: float) -> Mapping[str, float | int] | None:
        """The parameters by which frames of this score or more are hard, and others are not.

        None where no parameter sets the score from which on frames are hard. How frames rank is never changed by them.
        """
        return {"threshold": score} if "threshold" in type(self).model_fields else None

    def verdict(self, *, hard: bool, score: float, threshold: float, found: str, against: str = "") -> Judged:
        """A verdict whose numbers say the same as its decision: hard exactly if score >= threshold.

        Where a formula says "more than", or its terms are rounded, a score may lie on the border or a hair across
        it; it is then moved to its side of it.

        Args:
            hard: the decision.
            score: what was measured; higher is harder.
            threshold: the score from which on a frame is hard.
            found: what was measured, in words.
            against: how it stands to the miner's own threshold, to be read on; a budget sets another in its place.
        """
        score, threshold = round(score, _DIGITS), round(threshold, _DIGITS)
        if hard != (score >= threshold):
            score = threshold if hard else math.nextafter(threshold, -math.inf)
        reason = found + against
        return Judged(hard=hard, miner=self.name, score=score, threshold=threshold, reason=reason, found=found)
