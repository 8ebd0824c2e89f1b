"""Whether a process is alive, and whether it is ready to work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from pipeline.stage import Clock
from pipeline.vitals import Vitals

STUCK_S: Final = 60.0
"""A stage that has been with one message for longer is stuck: nothing that Tandem does takes so long."""


class Watched(Protocol):
    """What health needs to know of a process that hosts stages; the runner has it."""

    @property
    def fault(self) -> BaseException | None:
        """The bug that ends the process, or None."""

    @property
    def offline(self) -> str:
        """Why the broker is not reached, or empty."""

    def vitals(self) -> Sequence[Vitals]:
        """How every thread is now."""


class Health:
    """Answers probes. Any thread may ask.

    A process is alive while each of its stages waits for work, or has been with one message for ``stuck_s`` at most:
    who waits for the broker, a camera or room on the disk waits for work. It is ready while it is alive, its models
    are warm, and the broker is reached. Loading, it is alive and not ready; stopping too.
    """

    def __init__(self, clock: Clock, stuck_s: float = STUCK_S) -> None:
        """Begin with a process that loads its models; ``clock`` is the monotonic one that vitals are taken by."""
        self._clock = clock
        self._stuck_s = stuck_s
        self._watched: Watched | None = None
        self._stopping = False

    def started(self, watched: Watched) -> None:
        """The models are warm, and the stages are started."""
        self._watched = watched

    def stopping(self) -> None:
        """From now on threads may end."""
        self._stopping = True

    def ailment(self) -> str:
        """Why the process should be started anew; empty while it is alive."""
        return next(self._ailments(), "")

    def obstacle(self) -> str:
        """Why the process cannot work now; empty while it is ready."""
        if self._watched is None:
            return "the models are not loaded yet"
        if self._stopping:
            return "the process is stopping"
        if found := self.ailment():
            return found
        offline = self._watched.offline
        return f"the broker is not reached: {offline}" if offline else ""

    def _ailments(self) -> Iterator[str]:
        if self._watched is None:
            return
        if fault := self._watched.fault:
            yield f"the process has failed with {type(fault).__name__}: see its log"
        now_s = self._clock()
        for found in self._watched.vitals():
            name = f"{found.name} of {found.stream}" if found.stream else found.name
            if not found.alive and not self._stopping:
                yield f"the thread of {name} has ended"
            if found.doing and now_s - found.since_s > self._stuck_s:
                yield f"{name} has been at one {found.doing} for {now_s - found.since_s:.0f} s"
