"""Who asks a replay to end, and how often."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pipeline.app.interrupts import Interrupts


@pytest.fixture(autouse=True)
def hangup() -> Iterator[None]:
    """SIGHUP is as it is in a terminal, and afterwards as it was."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_asks_once_however_many_tell() -> None:
    with Interrupts().heeded() as interrupts:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.count == 1
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)


def test_who_is_to_survive_a_closed_terminal_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interrupts().heeded() as interrupts:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interrupts.count == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize(
    ("number", "another"),
    [(signal.SIGINT, "Ctrl-C again"), (signal.SIGTERM, "SIGTERM again"), (signal.SIGHUP, "SIGTERM")],
)
def test_who_asked_is_told_how_to_end_it_at_once(number: signal.Signals, another: str) -> None:
    with Interrupts().heeded() as interrupts:
        os.kill(os.getpid(), number)
        assert (interrupts.count, interrupts.another) == (1, another)
