"""Frames in an order that changes."""

from __future__ import annotations

import heapq
from typing import Final, Generic, TypeVar

from pipeline.model import FrameId

R = TypeVar("R", float, tuple[float, int])

_STALE: Final = 64
"""So many replaced ranks may be kept, beyond as many as there are frames."""


class Ranked(Generic[R]):
    """One rank a frame, and the least of them at hand; setting it again replaces it. Each call takes O(log n)."""

    def __init__(self) -> None:
        self._ranks: dict[FrameId, R] = {}
        self._heap: list[tuple[R, FrameId]] = []

    def __len__(self) -> int:
        return len(self._ranks)

    @property
    def kept(self) -> int:
        """How many entries are kept, those that were replaced among them."""
        return len(self._heap)

    def set(self, frame: FrameId, rank: R) -> None:
        """Give ``frame`` this rank."""
        self._ranks[frame] = rank
        heapq.heappush(self._heap, (rank, frame))
        self._tidy()

    def discard(self, frame: FrameId) -> None:
        """Forget ``frame``, if it is here."""
        self._ranks.pop(frame, None)
        self._tidy()

    def first(self) -> tuple[R, FrameId] | None:
        """The least rank, and whose it is."""
        while self._heap and self._ranks.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._ranks) + _STALE:
            self._heap = [(rank, frame) for frame, rank in self._ranks.items()]
            heapq.heapify(self._heap)
