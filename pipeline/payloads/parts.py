"""What several payloads have in them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Final, Generic, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from pipeline.model import CLASS_NAME, MAX_COUNT, BudgetState, Counts, Detections, Verdict

M = TypeVar("M")
MAX_BOXES: Final = 10_000
MAX_TEXT: Final = 4096


def _no_bool(value: object) -> object:
    """Python takes ``True`` for 1; a reader of the JSON Schema does not."""
    if isinstance(value, bool):
        raise ValueError("should be a number, not a truth value")  # noqa: TRY004 - pydantic wants a ValueError
    return value


Score = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
Revision = Annotated[Literal[1, 2], BeforeValidator(_no_bool)]
Count = Annotated[int, Field(ge=0, lt=MAX_COUNT)]
Seq = Annotated[int, Field(ge=1, lt=MAX_COUNT)]
Nanoseconds = Annotated[int, Field(ge=0, lt=1 << 63)]
Jpeg = Annotated[bytes, Field(min_length=4)]
Packed = Annotated[bytes, Field(max_length=16 * MAX_BOXES)]
Milliseconds = dict[str, float]
Name = Annotated[str, Field(max_length=256)]
ClassName = Annotated[str, Field(max_length=256, pattern=f"^{CLASS_NAME.pattern}$")]
Memory = Annotated[str, Field(max_length=1 << 20)]
Text = Annotated[str, AfterValidator(lambda text: text[:MAX_TEXT])]
"""Words for people; what is longer is cut."""


class Fields(BaseModel):
    """A part of a payload: types are not bent, infinities refused, unknown fields ignored."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        extra="ignore",
        populate_by_name=True,
        use_enum_values=True,
        json_schema_serialization_defaults_required=True,
    )


class Payload(Fields, Generic[M]):
    """One type of message on the wire."""

    v: Annotated[Literal[1], BeforeValidator(_no_bool)] = Field(
        default=1, description="Version of the format; within one, fields are only added."
    )

    @classmethod
    @abstractmethod
    def of(cls, message: M, now_s: float) -> Self:
        """The payload of a message; ``now_s`` is this process's monotonic clock."""

    @abstractmethod
    def message(self, now_s: float) -> M:
        """The message of a payload, its age counted back from ``now_s``."""


class PackedDetections(Fields):
    """Detections in columns: float32 boxes (N, 4) and scores, int32 labels, little-endian."""

    boxes: Packed
    scores: Packed
    labels: Packed
    names: Annotated[list[ClassName], Field(max_length=4096)]

    @classmethod
    def of(cls, detections: Detections) -> Self:
        return cls(
            boxes=detections.boxes.astype("<f4").tobytes(),
            scores=detections.scores.astype("<f4").tobytes(),
            labels=detections.labels.astype("<i4").tobytes(),
            names=list(detections.names),
        )

    def detections(self) -> Detections:
        return Detections(
            np.frombuffer(self.boxes, "<f4").reshape(-1, 4).astype(np.float32),
            np.frombuffer(self.scores, "<f4").astype(np.float32),
            np.frombuffer(self.labels, "<i4").astype(np.int32),
            tuple(self.names),
        )


class Box(Fields):
    """One detected object."""

    xyxy: tuple[float, float, float, float] = Field(
        description="x1, y1, x2, y2 in pixels of the source picture, top left first.", strict=False
    )
    score: Score = Field(description="The model's confidence.")
    label: ClassName = Field(alias="class", description="The class name, e.g. helmet_off.")
    class_id: int = Field(ge=0, lt=4096, description="The class's index in the model.")


class BudgetFields(Fields):
    """What a budget had left when a frame was decided."""

    setting: Name = Field(description="The budget as it is written, e.g. 200 kbit/s.")
    unit: Literal["bytes", "frames"] = Field(description="What left, most and cost count.")
    left: float = Field(description="What could be spent before this decision.")
    most: float = Field(description="What the bucket holds at most, which bounds a burst.")
    cost: float = Field(description="Of this frame; an estimate where the frame is easy.")

    @classmethod
    def of(cls, state: BudgetState) -> Self:
        return cls.model_validate(state, from_attributes=True)

    def state(self) -> BudgetState:
        return BudgetState(self.setting, self.unit, self.left, self.most, self.cost)


class VerdictFields(Fields):
    """Whether the frame was hard, and why."""

    hard: bool = Field(description="Whether the miner found it hard.")
    miner: Name = Field(description="The miner that decided.")
    score: float | None = Field(description="What the miner measured; higher is harder.")
    threshold: float | None = Field(description="The score from which on a frame is hard.")
    reason: Text = Field(description="The decision in words.")
    audited: bool = Field(description="Whether it was easy, and sent as one of a random share of the easy frames.")
    duplicate_of: Seq | None = Field(description="The frame that was sent in place of this one, almost equal to it.")
    budget: BudgetFields | None = Field(description="What the budget had left, where there is one.")

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        return cls.model_validate(verdict, from_attributes=True)

    def verdict(self, memory: str = "") -> Verdict:
        return Verdict(
            hard=self.hard,
            miner=self.miner,
            score=self.score,
            threshold=self.threshold,
            reason=self.reason,
            audited=self.audited,
            duplicate_of=self.duplicate_of,
            budget=self.budget.state() if self.budget else None,
            memory=memory,
        )


class CountsFields(Fields):
    """The reader's counts."""

    read: Count
    skipped: Count
    dropped: Count
    admitted: Count

    @classmethod
    def of(cls, counts: Counts) -> Self:
        return cls.model_validate(counts, from_attributes=True)

    def counts(self) -> Counts:
        return Counts(self.read, self.skipped, self.dropped, self.admitted)


_BOXES: Final = TypeAdapter(list[Box])


def boxes(detections: Detections) -> list[Box]:
    """Detections as people read them: hundredths of pixels, scores to four places."""
    rows = zip(detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True)
    return _BOXES.validate_python(
        [
            {
                "xyxy": [round(edge, 2) for edge in box],
                "score": round(score, 4),
                "class": detections.names[label],
                "class_id": label,
            }
            for box, score, label in rows
        ]
    )


def detections(rows: Sequence[Box]) -> Detections:
    """Detections from what people read; classes that no box has are left without a name."""
    names = [""] * (1 + max((row.class_id for row in rows), default=-1))
    for row in rows:
        names[row.class_id] = row.label
    with np.errstate(over="ignore"):  # Detections refuses the infinities that come of it
        columns: npt.NDArray[np.float32] = np.array([row.xyxy for row in rows], np.float32).reshape(-1, 4)
    return Detections(
        columns,
        np.array([row.score for row in rows], np.float32),
        np.array([row.class_id for row in rows], np.int32),
        tuple(names),
    )
