"""Turns at opening videos, which OpenCV opens one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from pipeline.errors import SourceError
from stages.sources import capture
from stages.sources.turns import Turns


def waiting(turns: Turns, count: int) -> None:
    until_s = time.monotonic() + 60
    while len(turns._waiting) < count:
        assert time.monotonic() < until_s
        time.sleep(0.001)


def test_who_failed_least_goes_first_whoever_came_first() -> None:
    turns, order, threads = Turns(), list[str](), list[threading.Thread]()

    def have(name: str, failures: int) -> None:
        with turns.turn(failures):
            order.append(name)

    with turns.turn(0):
        for name, failures in (("hangs", 9), ("new", 0), ("hangs too", 9), ("failed once", 1), ("new too", 0)):
            threads.append(threading.Thread(target=have, args=(name, failures)))
            threads[-1].start()
            waiting(turns, len(threads))
        assert order == []
    for thread in threads:
        thread.join(60)
    assert order == ["new", "new too", "failed once", "hangs", "hangs too"]


def test_a_turn_that_does_not_come_is_an_error_and_leaves_no_trace() -> None:
    turns = Turns()
    with turns.turn(0), pytest.raises(SourceError, match="waits for other videos here that hang"), turns.turn(0, 0.01):
        pass
    with turns.turn(5, 0.01):
        pass


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns()
    with pytest.raises(SourceError, match="no"), turns.turn(0):
        raise SourceError("no")
    with turns.turn(0, 0.01):
        pass


def test_a_url_that_fails_again_and_again_lets_others_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    @contextmanager
    def turn(failures: int) -> Iterator[None]:
        asked.append(failures)
        yield

    works = iter([False, False, True, False])

    def open_video(_: str) -> None:
        if not next(works):
            raise SourceError("no")

    monkeypatch.setattr(capture._turns, "turn", turn)
    monkeypatch.setattr(capture, "open_video", open_video)
    remote = capture.Remote("udp://127.0.0.1:1")
    for _ in range(4):
        with suppress(SourceError):
            remote()
    assert asked == [0, 1, 2, 0]
