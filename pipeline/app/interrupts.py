"""Ctrl-C, SIGTERM and SIGHUP: the first one asks for an end in good order, a second one ends at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ANOTHER: Final[dict[int, str]] = {
    signal.SIGINT: "Ctrl-C again",
    signal.SIGTERM: "SIGTERM again",
    signal.SIGHUP: "SIGTERM",  # its terminal is gone, and a second SIGHUP is not heeded
}


class Interrupts:
    """Counts how often somebody wants an end.

    Attributes:
        count: how often; whoever works for long looks at it, and leaves things whole.
        another: what would end it at once now, for people.
    """

    def __init__(self) -> None:
        self.count = 0
        self.another = _ANOTHER[signal.SIGINT]
        self._hung_up = False

    @contextlib.contextmanager
    def heeded(self) -> Iterator[Interrupts]:
        """Count them meanwhile; the second one raises SystemExit, wherever this process is."""
        before = {number: signal.signal(number, self._asked) for number in _SIGNALS if not _is_left_out(number)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            if self._hung_up:
                return  # a terminal that is closed sends it, and so does the shell in it
            self._hung_up = True
        self.count += 1
        self.another = _ANOTHER[number]
        if self.count > 1:
            raise SystemExit(INTERRUPTED)


def _is_left_out(number: signal.Signals) -> bool:
    """Whether we were started to survive a closed terminal, as ``nohup`` does it."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Heed none of them meanwhile: what is done here ends as fast as it can."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
