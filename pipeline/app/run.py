"""``tandem run``: chosen stages, from the start to SIGTERM."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final

import structlog

from pipeline.app.compose import compose
from pipeline.config import Config
from pipeline.errors import StorageError
from pipeline.runner import Runner
from pipeline.stage import StageName

if TYPE_CHECKING:
    from pipeline.app.outside import Outside

log = structlog.get_logger()

GRACE_S: Final = 10.0
"""So long the stages may take to finish what is here."""

ROOM_MOST_S: Final = 30.0
"""The longest pause before it looks again whether a full disk has room."""

_LOOK_S: Final = 0.1


def run(config: Config, stages: Sequence[StageName], *, held: str = "") -> None:
    """Host ``stages`` until SIGTERM or SIGINT, then drain without waiting for the cloud.

    Args:
        config: of this process.
        stages: what it hosts.
        held: the incarnation of a process that is held: it loads everything, then begins when standard input has a
            line, and drains when that is closed.

    Raises:
        ConfigError: the config is wrong, or the sink refuses a stream.
        StorageError: there is no room on the disk, and it is held; else it waits for room.
        Exception: whatever a stage failed with, which is a bug.
    """
    stop = threading.Event()

    def asked(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    with ExitStack() as closing:
        # Before all that takes time, so that a probe finds somebody alive.
        outside = None if config.http.port is None else _outside(config, config.http.port, closing)
        make = partial(compose, config, stages, observe=outside.observe if outside else None)
        runner = make(closing, held) if held else _composed(make, closing, stop)
        if held:
            _await_begin(stop)
        if runner and not stop.is_set():
            _host(runner, stop, outside)


def _outside(config: Config, port: int, closing: ExitStack) -> Outside:
    from pipeline.app.outside import Outside

    return Outside(config, port, closing)


def _composed(make: Callable[[ExitStack], Runner], closing: ExitStack, stop: threading.Event) -> Runner | None:
    """Compose, as soon as there is room on the disk; None where somebody stops it before."""
    pause_s = 1.0
    while not stop.is_set():
        with ExitStack() as attempt:
            try:
                runner = make(attempt)
            except StorageError as error:
                log.warning("waits_for_room", reason=str(error), then="it starts by itself")
                stop.wait(pause_s)
                pause_s = min(2 * pause_s, ROOM_MOST_S)
                continue
            closing.push(attempt.pop_all())
            return runner
    return None


def _host(runner: Runner, stop: threading.Event, outside: Outside | None) -> None:
    # What was made up to here lives as long as the process: the collector need not look at it again and again. What it
    # has looked at twice already, it is not made to look at once more, which would take a tenth of a second.
    gc.collect(1)
    gc.freeze()
    runner.start()
    if outside:
        outside.started(runner)
    log.info("stages_started")
    while not stop.wait(_LOOK_S) and not runner.failed.is_set():
        runner.tell_losses()
    if outside:
        outside.stopping()
    if runner.failure is None and not runner.drain(GRACE_S):
        log.warning("drain_incomplete", grace_s=GRACE_S)
    if runner.failure is not None:
        runner.abandon()
        raise runner.failure
    log.info("stages_stopped", dropped=dict(runner.dropped))


def _await_begin(stop: threading.Event) -> None:
    begin = threading.Event()
    threading.Thread(target=_follow_input, args=(begin, stop), name="input", daemon=True).start()
    while not begin.wait(_LOOK_S) and not stop.is_set():
        pass


def _follow_input(begin: threading.Event, stop: threading.Event) -> None:
    """A parent that holds us writes a line when we may begin; when it is gone, however it went, the input ends."""
    for _ in sys.stdin:
        begin.set()
    stop.set()
