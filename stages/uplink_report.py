"""What an uplink tells the sink of itself: how much it holds, for whom it waits."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pipeline.messages import UplinkProgress
from pipeline.model import FrameId
from stages.workers import Workers

PROGRESS_S: Final = 1.0
"""The shortest time between two reports."""


class UplinkReport:
    """The reports of an uplink: at once, then once a second at most, and only of streams where something changed.

    What may not come late is ``due_at_once``: the sink may have said the last state of a stream by then.
    """

    def __init__(self, incarnation: str, streams: Iterable[str], recovered: Iterable[FrameId]) -> None:
        """Report on ``streams``, and on those that ``recovered`` frames belong to."""
        self._incarnation = incarnation
        found: defaultdict[str, list[int]] = defaultdict(list)
        for frame in recovered:
            found[frame.stream].append(frame.seq)
        self._recovered = {stream: tuple(found[stream]) for stream in dict.fromkeys((*streams, *found))}
        self._late: Counter[str] = Counter()
        self._said: dict[str, UplinkProgress] = {}
        self._due_s = -math.inf
        self._changed = True

    def changed(self) -> None:
        """Something may be different from the last report."""
        self._changed = True

    def due_at_once(self) -> None:
        """Something is different that must not wait for the second to be over."""
        self._changed, self._due_s = True, -math.inf

    def late(self, frame: FrameId) -> None:
        """An answer came after the decision."""
        self._late[frame.stream] += 1

    @property
    def wakes_at_s(self) -> float:
        """When the next report is due."""
        return self._due_s if self._changed else math.inf

    def due(
        self, now_s: float, undecided: Callable[[str], int], workers: Workers, refusal: str
    ) -> Iterator[UplinkProgress]:
        """The reports that are due now.

        Args:
            now_s: monotonic time.
            undecided: how many frames of a stream wait for a worker, or for the answer of one.
            workers: those that are known.
            refusal: why the outbox takes nothing, or empty.
        """
        if not self._changed or now_s < self._due_s:
            return
        self._due_s = now_s + PROGRESS_S
        self._changed = False
        under_way = Counter(frame.stream for frame in workers.offered)
        for stream, recovered in self._recovered.items():
            queued = undecided(stream) - under_way[stream]
            progress = UplinkProgress(
                stream,
                self._incarnation,
                recovered,
                queued,
                under_way[stream],
                len(workers),
                self._late[stream],
                refusal or ("" if len(workers) or not queued else "no worker is there"),
            )
            if progress != self._said.get(stream):
                self._said[stream] = progress
                yield progress
