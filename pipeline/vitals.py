"""The vital signs of a process's threads: what each is doing, for how long, at what cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@runtime_checkable
class HasLevels(Protocol):
    """A stage that holds things, and says of each kind how much."""

    @property
    def levels(self) -> Mapping[str, int]:
        """How much is held now, by what it is. Any thread may ask, so it reads and walks nothing that may change."""


@dataclass(slots=True)
class Pulse:
    """What one thread is doing. That thread alone writes it; anyone may read it, and sees each value whole.

    Attributes:
        doing: what it is at, and the monotonic time at which it began; None while it waits for work.
        cpu_clock: the clock of its CPU time, from its start.
    """

    doing: tuple[str, float] | None = None
    cpu_clock: int | None = None

    def begins(self) -> None:
        """The calling thread is the one that this is about."""
        if hasattr(time, "pthread_getcpuclockid"):  # macOS has none
            self.cpu_clock = time.pthread_getcpuclockid(threading.get_ident())

    @property
    def cpu_s(self) -> float | None:
        """Its user and system CPU seconds; None before it starts and after it has ended."""
        try:
            return None if self.cpu_clock is None else time.clock_gettime(self.cpu_clock)
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class Vitals:
    """How one thread was when it was asked.

    Attributes:
        name: the stage that it runs, or ``background``.
        stream: the one that it is for; empty for all.
        alive: whether it runs.
        doing: what it was at, e.g. ``Frame``; empty while it waits for work.
        since_s: the monotonic time at which it began with that.
        inbox: how many messages wait for it; None where it has no inbox.
        levels: how much the stage holds, by what it is.
        cpu_s: its CPU seconds, if they can be told.
    """

    name: str
    stream: str
    alive: bool
    doing: str = ""
    since_s: float = 0.0
    inbox: int | None = None
    levels: Mapping[str, int] = field(default_factory=dict)
    cpu_s: float | None = None

    @classmethod
    def of(
        cls,
        pulse: Pulse,
        name: str,
        stream: str = "",
        *,
        alive: bool,
        inbox: int | None = None,
        levels: Mapping[str, int] | None = None,
    ) -> Vitals:
        """Take the pulse of a thread."""
        doing, since_s = pulse.doing or ("", 0.0)
        return cls(name, stream, alive, doing, since_s, inbox, levels or {}, pulse.cpu_s)
