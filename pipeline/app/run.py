"""``tandem run``: chosen stages, from the start to SIGTERM."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType
from typing import Final

import structlog

from pipeline.app.compose import compose
from pipeline.app.outside import Outside
from pipeline.config import Config
from pipeline.runner import Runner
from pipeline.stage import StageName

log = structlog.get_logger()

GRACE_S: Final = 10.0
"""So long the stages may take to finish what is here."""

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
        outside = None if config.http.port is None else Outside(config, config.http.port, closing)
        runner = compose(config, stages, closing, held, observe=outside.observe if outside else None)
        if held:
            _await_begin(stop)
        if not stop.is_set():
            _host(runner, stop, outside)


def _host(runner: Runner, stop: threading.Event, outside: Outside | None) -> None:
    # What was made up to here lives as long as the process: the collector need not look at it again and again.
    gc.collect()
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
