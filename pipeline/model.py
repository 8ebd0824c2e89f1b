"""The values that frames, detections and verdicts are made of: frozen, validated once, in columns."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

STREAM_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
CLASS_NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,256}")
"""A class name has a line of its own in ``classes.txt``, so it has no line breaks and no control characters."""

RESERVED_NAMES: Final = frozenset({"workers", "stages"})
LAST_WORDS: Final = frozenset(
    {
        *("frames", "detected", "examples", "store", "hard", "results", "stored"),
        *("progress", "resume", "recalled", "state"),
    }
)
"""What topics of a stream end with. A bridge would take ``workers/state`` for a stream's state, and send it round."""

MAX_COUNT: Final = 1 << 53
"""Whole numbers stay below this, so that every reader of JSON, and SQLite, has them exactly."""

MAX_EDGE: Final = 1e6
"""The edges of boxes lie within so many pixels: more than any picture has, and less than drawing overflows at."""


def stream_name(name: str) -> str:
    """Return ``name`` if a stream or service may be called so.

    Raises:
        ValueError: it is reserved or does not match ``[a-z0-9-]{1,63}``.
    """
    if not STREAM_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: use 1 to 63 of a-z, 0-9 and '-'")
    if name in RESERVED_NAMES:
        raise ValueError(f"{name!r} is reserved: choose another name")
    return name


def process_name(name: str) -> str:
    """Return ``name`` if a process or worker may be called so.

    Raises:
        ValueError: it is no name, or its topic would look like one of a stream.
    """
    if name in LAST_WORDS:
        raise ValueError(f"{name!r} is what a stream's topic ends with: choose another name, e.g. {f'{name}-1'!r}")
    return stream_name(name)


@dataclass(frozen=True, slots=True, order=True)
class FrameId:
    """A frame's name: its stream, and the 1-based number of the source frame."""

    stream: str
    seq: int

    def __post_init__(self) -> None:
        stream_name(self.stream)
        if self.seq < 1:
            raise ValueError(f"seq is {self.seq}, but frames count from 1")
        if self.seq >= MAX_COUNT:
            raise ValueError("seq is too large: frames count to 2^53")

    def __str__(self) -> str:
        return f"{self.stream}/{self.seq}"


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector saw in one picture, in columns, best score first.

    Attributes:
        boxes: (N, 4) float32, x1, y1, x2, y2 in source pixels.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int32, indices into ``names``.
        names: the model's class names.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.labels.shape != (n,):
            raise ValueError(
                f"boxes {self.boxes.shape}, scores {self.scores.shape} and labels {self.labels.shape} do not match"
            )
        if not n:
            return
        scores = self.scores.min(), self.scores.max()
        edges = self.boxes.min(), self.boxes.max()
        if not all(map(math.isfinite, (*edges, *scores))):  # both ends of a column with NaN are NaN
            raise ValueError("boxes and scores must be finite numbers")
        if edges[0] < -MAX_EDGE or edges[1] > MAX_EDGE:
            raise ValueError(f"boxes must lie within {MAX_EDGE:g} pixels of the corner")
        if scores[0] < 0 or scores[1] > 1:
            raise ValueError(f"scores must lie in 0..1, not {scores[0]:g}..{scores[1]:g}")
        if self.labels.min() < 0 or self.labels.max() >= len(self.names):
            raise ValueError(f"labels must be below {len(self.names)}, the number of class names")

    @classmethod
    def empty(cls, names: Sequence[str] = ()) -> Detections:
        """No detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32), tuple(names))

    def __len__(self) -> int:
        return len(self.scores)

    def at_least(self, score: float) -> Detections:
        """Those that score ``score`` or more, in the same order."""
        keep = self.scores >= np.float32(score)
        if keep.all():
            return self
        return Detections(self.boxes[keep], self.scores[keep], self.labels[keep], self.names)

    @property
    def best(self) -> float:
        """The best score, 0 where nothing was seen."""
        return float(self.scores.max()) if len(self) else 0.0


@dataclass(frozen=True, slots=True)
class BudgetState:
    """What a budget had left when a frame was decided.

    Attributes:
        setting: as it is written, e.g. ``200 kbit/s``.
        unit: what ``left``, ``most`` and ``cost`` count: ``bytes`` or ``frames``.
        left: what could be spent before this decision; below 0 while a frame is paid off that cost more.
        most: what the bucket holds at most, which bounds a burst.
        cost: of this frame; an estimate where the frame is easy and so was not encoded.
    """

    setting: str
    unit: str
    left: float
    most: float
    cost: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a frame is hard, and why.

    Attributes:
        hard: whether the miner finds the frame hard; True sends it to the cloud.
        miner: the name of the miner that decided, e.g. ``IBT``.
        score: what it measured; higher is harder. None where it measures nothing.
        threshold: the score from which on a frame is hard. None where there is none.
        reason: the decision in words, for people.
        audited: whether it is sent although it is easy, as one of a random share that shows what easy ones hide.
        duplicate_of: the ``seq`` of the frame that was sent in place of this one, since they are almost equal.
        budget: what the budget had left, where there is one.
        memory: what the miner remembers after this frame, where it judges over time; only miners read it.
    """

    hard: bool
    miner: str
    score: float | None
    threshold: float | None
    reason: str
    audited: bool = False
    duplicate_of: int | None = None
    budget: BudgetState | None = None
    memory: str = field(default="", repr=False)

    @property
    def sent(self) -> bool:
        """Whether the frame goes to the cloud."""
        return self.hard or self.audited


@dataclass(frozen=True, slots=True)
class Counts:
    """How many source frames a reader has met: ``read = skipped + dropped + admitted``.

    Attributes:
        read: all that the source gave.
        skipped: left out by sampling, or damaged: they cannot be read.
        dropped: sampled, but the window was full (live sources only).
        admitted: sent into the pipeline.
    """

    read: int = 0
    skipped: int = 0
    dropped: int = 0
    admitted: int = 0

    def __post_init__(self) -> None:
        if not all(0 <= count < MAX_COUNT for count in (self.read, self.skipped, self.dropped, self.admitted)):
            raise ValueError("counts lie in 0 to 2^53")
        if self.read != self.skipped + self.dropped + self.admitted:
            raise ValueError(f"{self} does not balance")


class Ending(StrEnum):
    """The final states that an admitted frame may reach."""

    EASY = "easy"
    CLOUD = "cloud"
    EXPIRED = "expired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of every frame of one stream."""

    read: int = 0
    skipped: int = 0
    dropped: int = 0
    admitted: int = 0
    easy: int = 0
    cloud: int = 0
    expired: int = 0
    failed: int = 0
    interrupted: int = 0
    pending: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every frame read, and every frame admitted, is accounted for; some may be pending."""
        ended = self.easy + self.cloud + self.expired + self.failed + self.interrupted
        return (
            self.read == self.skipped + self.dropped + self.admitted
            and self.admitted == ended + self.pending
            and self.pending >= 0
        )


def name_from(text: str) -> str:
    """A valid name that is as near to ``text`` as may be."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
    return plain if plain and plain not in RESERVED_NAMES else f"x-{plain}"[:63].rstrip("-")
