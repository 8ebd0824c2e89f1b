"""What an uplink remembers of a hard frame, and when something is to happen to it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.model import FrameId
from stages.outbox import Waiting
from stages.ranked import Ranked


@dataclass(slots=True)
class Held:
    """A hard frame between its verdict and the moment its revision 2 is stored.

    Attributes:
        waiting: what the outbox has of it, or is about to have.
        attempt: how often it was offered, as far as is known; see ``recovered``.
        offered_s: when it was offered last.
        workers: who was offered it; only they may answer.
        queued: whether it waits for a worker with credit.
        awaited: whether its revision 1 is left to the reader, who may bring the frame again; see ``Uplink``.
        sends: how often the revision that the sink lacks was sent to it, since this frame is decided.
    """

    waiting: Waiting
    attempt: int = 0
    offered_s: float = 0.0
    workers: frozenset[str] = frozenset()
    queued: bool = False
    awaited: bool = False
    sends: int = 0

    @property
    def id(self) -> FrameId:
        return self.waiting.id

    @classmethod
    def recovered(cls, waiting: Waiting) -> Held:
        """A frame from the outbox of an earlier process.

        That one may have offered it already, and an answer to that offer may still come. So the next offer counts as
        the second: its round trip is not measured (Karn).
        """
        return cls(waiting, attempt=1, queued=waiting.decided is None, awaited=not waiting.stored)


class Timers:
    """One due time a frame; setting it again replaces it."""

    def __init__(self) -> None:
        self._times_s: Ranked[float] = Ranked()

    def __len__(self) -> int:
        """How many entries are kept, those that were replaced among them."""
        return self._times_s.kept

    def set(self, frame: FrameId, due_s: float) -> None:
        """Let ``frame`` be due at ``due_s``; ``inf`` for never."""
        if due_s < math.inf:
            self._times_s.set(frame, due_s)
        else:
            self._times_s.discard(frame)

    def due(self, now_s: float) -> Iterator[FrameId]:
        """Those that are due, each once."""
        while (first := self._times_s.first()) and first[0] <= now_s:
            self._times_s.discard(first[1])
            yield first[1]

    @property
    def next_s(self) -> float:
        """When the next frame is due."""
        first = self._times_s.first()
        return first[0] if first else math.inf
