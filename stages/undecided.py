"""The hard frames that have no end yet, by number, size and hardness."""

from __future__ import annotations

import itertools
from collections import Counter

from pipeline.model import FrameId
from stages.outbox import Waiting
from stages.ranked import Ranked


class Undecided:
    """Adds up the frames that wait for their end, and knows the least hard of them. Each call takes O(log n).

    Attributes:
        size_bytes: what their pictures take.
    """

    def __init__(self) -> None:
        self.size_bytes = 0
        self._sizes: dict[FrameId, int] = {}
        self._least_hard: Ranked[tuple[float, int]] = Ranked()
        self._of_stream: Counter[str] = Counter()
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, waiting: Waiting) -> None:
        """Count a frame that was not here."""
        self.size_bytes += waiting.size_bytes
        self._sizes[waiting.id] = waiting.size_bytes
        self._least_hard.set(waiting.id, (waiting.hardness, next(self._order)))
        self._of_stream[waiting.id.stream] += 1

    def discard(self, frame: FrameId) -> None:
        """Count a frame no longer, if it is here."""
        if frame in self._sizes:
            self.size_bytes -= self._sizes.pop(frame)
            self._least_hard.discard(frame)
            self._of_stream[frame.stream] -= 1

    def least_hard(self) -> FrameId | None:
        """The frame that is missed least; of equally hard ones the one that came first."""
        first = self._least_hard.first()
        return first[1] if first else None

    def of(self, stream: str) -> int:
        """How many there are of a stream."""
        return self._of_stream[stream]
