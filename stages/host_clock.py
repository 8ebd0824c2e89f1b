"""Time that goes on while a process is down: how old is what an earlier one has left behind?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_SET_AFTER_S: Final = 1_577_836_800.0
"""2020-01-01: a wall clock that says less was not set yet."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment on this host.

    Attributes:
        boot: which start of the host it lies in; empty if nobody knows.
        boot_s: seconds since then, suspended ones counted.
        wall_s: seconds since the epoch, by the wall clock.
    """

    boot: str
    boot_s: float
    wall_s: float

    def before(self, seconds: float) -> Moment:
        """The moment that was so long ago."""
        return Moment(self.boot, self.boot_s - seconds, self.wall_s - seconds)

    def since(self, earlier: Moment) -> float:
        """Seconds from ``earlier`` to this, at least 0.

        Within one start of the host a wall clock that jumps changes nothing. Across a restart there is no other: one
        that runs backwards, or was not set, counts as none of that time.
        """
        if self.boot and self.boot == earlier.boot:
            return max(0.0, self.boot_s - earlier.boot_s)
        return max(0.0, self.wall_s - earlier.wall_s) if earlier.wall_s > _SET_AFTER_S else 0.0


HostClock = Callable[[], Moment]
"""The time on this host; tests bring their own."""


def host_clock() -> HostClock:
    """The clock of the host we run on."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    return lambda: Moment(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
