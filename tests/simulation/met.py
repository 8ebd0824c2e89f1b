"""What an uplink has been told of its workers, and what it has offered them; told apart from how it keeps that."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

from pipeline.messages import HardExample, Message, StageState, WorkerState
from pipeline.model import FrameId
from stages.workers import SILENCE_S, Workers


@dataclass
class Met:
    """A witness of one process of an uplink: which worker is which, since when, and when it was offered what."""

    _current: dict[str, tuple[str, float]] = field(default_factory=dict)
    _past: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _offline_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _offered_s: dict[tuple[str, FrameId], float] = field(default_factory=dict)

    def heard(self, message: Message, now_s: float) -> None:
        """The uplink is given a message."""
        if isinstance(message, StageState):
            self._offline_s[message.process, message.incarnation] = -math.inf if message.online else now_s
        if not isinstance(message, WorkerState) or message.incarnation in self._past[message.worker]:
            return
        name, incarnation = message.worker, message.incarnation
        if not message.gone and self._offline(name, incarnation, now_s):
            return  # the broker has kept it, and its process is not there
        known = self._current.get(name)
        if message.gone:
            self._past[name].add(incarnation)
        if known is None or known[0] != incarnation:
            if known and not message.gone:
                self._past[name].add(known[0])
            if not message.gone:
                self._current[name] = incarnation, now_s

    def _offline(self, name: str, incarnation: str, now_s: float) -> bool:
        return now_s < self._offline_s.get((name, incarnation), -math.inf) + SILENCE_S

    def said(self, message: Message, now_s: float) -> None:
        """The uplink has sent a message."""
        if isinstance(message, HardExample):
            self._offered_s[message.worker, message.id] = now_s

    def check(self, workers: Workers, now_s: float) -> None:
        """Whoever said goodbye, or was said to be offline, is gone; nobody holds what an earlier one was offered."""
        for name, worker in workers._alive.items():
            incarnation, since_s = self._current[name]
            assert not self._offline(name, incarnation, now_s), f"{name} is offline, and not gone"
            assert incarnation not in self._past[name], f"{name} has said goodbye, and is not gone"
            for frame in worker.holds:
                offered_s = self._offered_s[name, frame]
                assert offered_s >= since_s, f"{frame} was offered to {name} before it was {incarnation}"
