"""What an uplink remembers of a hard frame, and when something is to happen to it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.model import FrameId
from stages.outbox import Waiting

_STALE: Final = 64
"""So many replaced due times may be kept, beyond as many as there are frames."""


@dataclass(slots=True)
class Held:
    """A hard frame between its verdict and the moment its revision 2 is stored.

    Attributes:
        waiting: what the outbox has of it.
        born_s: monotonic clock of this process at its capture.
        attempt: how often it was offered.
        offered_s: when it was offered last.
        uploaded_bytes: what was sent to workers.
        workers: who was offered it; only they may answer.
        queued: whether it waits for a worker with credit.
        stored: whether its revision 1 is on disk.
        sends: how often the revision that the sink lacks was sent to it, since this frame is decided.
    """

    waiting: Waiting
    born_s: float
    attempt: int = 0
    offered_s: float = 0.0
    uploaded_bytes: int = 0
    workers: frozenset[str] = frozenset()
    queued: bool = False
    stored: bool = False
    sends: int = 0

    @property
    def id(self) -> FrameId:
        return self.waiting.id


class Timers:
    """One due time a frame; setting it again replaces it."""

    def __init__(self) -> None:
        self._due: dict[FrameId, float] = {}
        self._heap: list[tuple[float, FrameId]] = []

    def __len__(self) -> int:
        """How many entries are kept, those that were replaced among them."""
        return len(self._heap)

    def set(self, frame: FrameId, due_s: float) -> None:
        """Let ``frame`` be due at ``due_s``; ``inf`` for never."""
        self._due.pop(frame, None)
        if due_s < math.inf:
            self._due[frame] = due_s
            heapq.heappush(self._heap, (due_s, frame))
        if len(self._heap) > 2 * len(self._due) + _STALE:
            self._heap = [(due_s, frame) for frame, due_s in self._due.items()]
            heapq.heapify(self._heap)

    def due(self, now_s: float) -> Iterator[FrameId]:
        """Those that are due, each once."""
        while self._heap and self._heap[0][0] <= now_s:
            due_s, frame = heapq.heappop(self._heap)
            if self._due.get(frame) == due_s:
                del self._due[frame]
                yield frame

    @property
    def next_s(self) -> float:
        """No frame is due before this time."""
        return self._heap[0][0] if self._heap else math.inf
