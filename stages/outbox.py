"""Where hard examples wait for their end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, Self

from pipeline.messages import Result, Store
from pipeline.model import FrameId


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A hard example in the outbox.

    Attributes:
        store: its revision 1, with the picture for as long as somebody may want it.
        size_bytes: what its JPEG takes.
        born_s: monotonic clock of this process at its capture, which may lie before the process began.
        tries: how many workers it has ended, or had an error from.
        stored: whether the sink has its revision 1.
        decided: its revision 2, once there is one.
        uploaded_bytes: what was sent to workers, as far as is known: what a process that was killed sent in its last
            second may be missing.
    """

    store: Store
    size_bytes: int
    born_s: float
    tries: int = 0
    stored: bool = False
    decided: Result | None = None
    uploaded_bytes: int = 0

    @property
    def id(self) -> FrameId:
        return self.store.id

    @property
    def hardness(self) -> float:
        """By how much it is missed where not all frames can be had: the miner's score. 0 where there is none.

        An audited frame comes before all others: if its score decided whether it is seen, the audit would be biased.
        """
        verdict = self.store.result.verdict
        return math.inf if verdict.audited else verdict.score or 0.0

    @property
    def needs_picture(self) -> bool:
        """Whether a worker or the sink may still want the picture."""
        return self.decided is None or not self.stored

    def encoded_only(self) -> Self:
        """The same without pixels."""
        image = self.store.image
        return replace(self, store=replace(self.store, image=image and image.encoded_only()))

    def at_rest(self) -> Self:
        """The same, with as little memory as may be."""
        image = self.store.image
        return replace(self, store=replace(self.store, image=image and image.at_rest()))


Changes = Mapping[FrameId, Waiting | None]
"""The newest version of some frames; None for one that is to be forgotten."""


class OutboxStore(Protocol):
    """Keeps hard examples until they are forgotten."""

    def write(self, changes: Changes) -> None:
        """Keep all of these changes, or none.

        They are on disk when this returns, and so is the picture of a frame that is new; where it lies in a file,
        ``image.file`` says so. To forget a frame that is not there is no error.

        Raises:
            StorageError: the disk takes nothing. The outbox is as it was.
        """

    def entries(self) -> Iterable[Waiting]:
        """What was kept when the process started, in the order in which it came.

        One that ``needs_picture`` and comes without it has lost it.
        """


class MemoryOutbox:
    """An outbox that lives and dies with its process."""

    def __init__(self) -> None:
        self._kept: dict[FrameId, Waiting] = {}

    def write(self, changes: Changes) -> None:
        """Keep or forget examples, their pictures as JPEG alone."""
        for frame, waiting in changes.items():
            if waiting is None:
                self._kept.pop(frame, None)
            else:
                self._kept[frame] = waiting.at_rest()

    def entries(self) -> Iterable[Waiting]:
        """Everything that is kept."""
        return list(self._kept.values())
