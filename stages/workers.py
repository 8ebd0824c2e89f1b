"""Which workers there are, what each may still be sent, and which one comes next."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.messages import StageState, WorkerState
from pipeline.model import FrameId

SILENCE_S: Final = 6.0
"""A worker that has said nothing for so long is gone: three of its announcements are missing."""

BUSY_S: Final = 0.25
"""A worker that answered ``busy`` is left alone for so long where it does not say for how long, or until it announces
that it has room."""

BUSY_MOST_S: Final = 60.0

GONE_KEPT: Final = 64
"""So many workers that are gone are remembered, the newest of them; their names may be random."""

_PAST: Final = 8


@dataclass(slots=True)
class Worker:
    """A worker as this uplink knows it.

    Attributes:
        state: its last announcement.
        seen_s: when it gave the last sign of life.
        holds: the frames it was offered and has not answered, oldest first.
        busy_until_s: it is left alone until then.
        past: its incarnations that are over.
    """

    state: WorkerState
    seen_s: float
    holds: dict[FrameId, None] = field(default_factory=dict)
    busy_until_s: float = 0.0
    past: tuple[str, ...] = ()

    def credit(self, now_s: float) -> int:
        """How many more frames it may be sent now."""
        return self.state.share - len(self.holds) if now_s >= self.busy_until_s else 0

    @property
    def wait_ms(self) -> float:
        """How long a frame would expect to wait for its answer here."""
        return (max(self.state.queue, len(self.holds)) + 1) * self.state.service_ms


class Workers:
    """The workers that are alive, by their announcements.

    A worker is gone when it says so, when the broker says that its process is, when it is silent for 6 s, and when it
    comes back as another incarnation. A will alone would miss a wedged worker, a cut network and a broker that was
    restarted. An announcement of an incarnation that has said goodbye or was replaced is late, and ignored.
    """

    def __init__(self, seed: int) -> None:
        self._alive: dict[str, Worker] = {}
        self._gone: dict[str, Worker] = {}
        self._offline: dict[tuple[str, str], float] = {}
        self._random = random.Random(seed)  # noqa: S311 - it spreads load, it keeps no secret

    def __len__(self) -> int:
        return len(self._alive)

    def announced(self, state: WorkerState, now_s: float) -> tuple[list[FrameId], FrameId | None]:
        """Take an announcement.

        Returns:
            The frames that a worker which is gone has left behind, oldest first; and of a worker that came back as
            another incarnation without a goodbye the frame that it had in work, which may be what ended it. A worker
            that was merely silent comes back as the same incarnation and blames nobody.
        """
        known = self._alive.get(state.worker)
        before = known or self._gone.get(state.worker) or Worker(state, now_s)
        if state.incarnation in before.past:
            return [], None
        if state.gone:
            return self._left(before, state.incarnation), None
        if now_s < self._offline.get((state.worker, state.incarnation), now_s):
            return [], None
        if before.state.incarnation == state.incarnation:
            before.state, before.seen_s = state, now_s
            if state.queue < state.slots:
                before.busy_until_s = 0.0
            self._alive[state.worker] = before
            if not known:
                before.holds = {}
            self._gone.pop(state.worker, None)
            return [], None
        self._gone.pop(state.worker, None)
        self._alive[state.worker] = Worker(state, now_s, past=(*before.past, before.state.incarnation)[-_PAST:])
        return list(known.holds) if known else [], next(iter(before.holds), None)

    def heard_of(self, process: StageState, now_s: float) -> list[FrameId]:
        """Take the word on a process: its own, or the will that the broker publishes when its connection has ended.

        It speaks for the worker of its own name alone: that is what brokers can be told to see to. The broker keeps the
        last announcement of a worker that died until that expires, which is when it would have been silent for too
        long: such a one counts no more. Where only the connection broke, the worker comes back as the same incarnation.

        Returns:
            The frames that it has left behind if it was a worker, oldest first.
        """
        this = (process.process, process.incarnation)
        self._offline = {one: until_s for one, until_s in self._offline.items() if now_s < until_s and one != this}
        if process.online:
            return []
        self._offline[this] = now_s + SILENCE_S
        if len(self._offline) > GONE_KEPT:
            del self._offline[next(iter(self._offline))]
        worker = self._alive.get(process.process)
        if worker is None or worker.state.incarnation != process.incarnation:
            return []
        self._remember(self._alive.pop(process.process))
        return list(worker.holds)

    def silent(self, now_s: float) -> list[FrameId]:
        """The frames of the workers that have been silent too long, which are gone by that."""
        gone = [worker for worker in self._alive.values() if now_s - worker.seen_s >= SILENCE_S]
        for worker in gone:
            self._remember(self._alive.pop(worker.state.worker))
        return [frame for worker in gone for frame in worker.holds]

    def _left(self, worker: Worker, incarnation: str) -> list[FrameId]:
        """What a worker has left behind that said goodbye; this incarnation never comes back."""
        worker.past = (*worker.past, incarnation)[-_PAST:]
        if worker.state.incarnation != incarnation:
            return []
        alive = self._alive.pop(worker.state.worker, None)
        left, worker.holds = worker.holds, {}
        self._remember(worker)
        return list(left) if alive else []

    def _remember(self, worker: Worker) -> None:
        self._gone.pop(worker.state.worker, None)
        self._gone[worker.state.worker] = worker
        if len(self._gone) > GONE_KEPT:
            del self._gone[next(iter(self._gone))]

    @property
    def offered(self) -> frozenset[FrameId]:
        """The frames that some worker has."""
        return frozenset(frame for worker in self._alive.values() for frame in worker.holds)

    def credit(self, now_s: float) -> int:
        """How many more frames may be sent now. Any thread may ask: a list is taken in one step."""
        return sum(max(0, worker.credit(now_s)) for worker in list(self._alive.values()))

    def choose(self, now_s: float, waiting: int = 1) -> Worker | None:
        """Of two random workers with credit the one with the least expected wait (power of two choices).

        A worker gets no frame that all workers together would have answered, with all that waits, before it has: so
        a slow one works along while there is plenty, and nobody waits for it in the end.

        Args:
            now_s: monotonic seconds.
            waiting: how many frames wait for a worker, this one included.
        """
        there = [worker for worker in self._alive.values() if now_s >= worker.busy_until_s]
        most_ms = _enough_ms(there, waiting)
        free = [worker for worker in there if worker.credit(now_s) > 0 and worker.wait_ms <= most_ms]
        if not free:
            return None
        return min(self._random.sample(free, min(2, len(free))), key=lambda worker: worker.wait_ms)

    def busy(self, name: str, now_s: float, wait_s: float = 0.0) -> None:
        """A worker answered ``busy``, and that our turn will be in ``wait_s`` seconds, if it knows."""
        if worker := self._alive.get(name):
            worker.busy_until_s = now_s + min(wait_s or BUSY_S, BUSY_MOST_S)

    def heard(self, name: str, incarnation: str, now_s: float) -> None:
        """An answer is a sign of life too."""
        worker = self._alive.get(name)
        if worker and worker.state.incarnation == incarnation:
            worker.seen_s = now_s

    def released(self, frame: FrameId) -> None:
        """Nobody works on this frame any more, as far as this uplink is concerned."""
        for worker in self._alive.values():
            worker.holds.pop(frame, None)

    def wakes_at_s(self, now_s: float) -> float:
        """When the next worker counts as silent, or is no longer left alone."""
        return min(self._times(now_s), default=float("inf"))

    def _times(self, now_s: float) -> Iterable[float]:
        for worker in self._alive.values():
            yield worker.seen_s + SILENCE_S
            if worker.busy_until_s > now_s:
                yield worker.busy_until_s


def _enough_ms(workers: Sequence[Worker], waiting: int) -> float:
    """How long all frames take all workers together at their rates, but at least the shortest wait of any of them."""
    per_ms = sum(1 / worker.state.service_ms for worker in workers if worker.state.service_ms > 0)
    if not per_ms:
        return math.inf
    frames = waiting + sum(len(worker.holds) for worker in workers)
    return max(frames / per_ms, min(worker.wait_ms for worker in workers))
