"""What a replay knows of its processes: the retained states that they publish."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from broker.mqtt import MqttLink
from pipeline import wire
from pipeline.errors import DropMessage
from pipeline.link import LinkEvents
from pipeline.messages import SourceStatus, StageState, State, WorkerState
from pipeline.topics import Kind, Topic

log = structlog.get_logger()

LOOK_S: Final = 0.05


class Watch:
    """Follows the streams, workers and processes of one service.

    Attributes:
        streams: the newest state of each stream.
        workers: the newest announcement of each worker that is there, by its incarnation.
        processes: the newest word of each process, by its incarnation.
    """

    def __init__(self, service: str, link: MqttLink) -> None:
        """Watch ``service`` over ``link``, which is not started yet."""
        self.streams: dict[str, State] = {}
        self.workers: dict[str, WorkerState] = {}
        self.processes: dict[str, StageState] = {}
        self._heard: Counter[str] = Counter()
        self._news = threading.Event()
        self._link = link
        filters = [
            str(Topic(service, Kind.STATE, "+")),
            str(Topic(service, Kind.WORKERS, name="+")),
            str(Topic(service, Kind.STAGES, name="+")),
        ]
        link.start(filters, LinkEvents(self._received, lambda: None, lambda _: None))

    def wait(self, timeout_s: float = LOOK_S) -> None:
        """Wait for news, at most so long."""
        self._news.wait(timeout_s)
        self._news.clear()

    def until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until ``done`` says so, and return whether it did within the time."""
        until_s = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > until_s:
                return False
            self.wait()
        return True

    def repeats_itself(self, incarnation: str) -> bool:
        """Whether a worker has announced itself again: of one that was killed, a broker keeps the last word only."""
        return self._heard[incarnation] > 1

    def forget_workers(self, incarnations: Iterable[str]) -> None:
        """Forget workers that are not there any more."""
        for incarnation in incarnations:
            self.workers.pop(incarnation, None)

    def forget_streams(self) -> None:
        """Forget the states of streams: a broker keeps those of earlier runs, which may have ended."""
        self.streams.clear()

    def complete(self, streams: Sequence[str]) -> bool:
        """Whether every stream has ended and none of its frames is pending."""
        states = [self.streams.get(stream) for stream in streams]
        return all(state and state.status is SourceStatus.ENDED and state.tally.pending == 0 for state in states)

    def close(self) -> None:
        """Stop watching."""
        self._link.stop(flush_s=0.0)

    def _received(self, topic: str, payload: bytes) -> None:
        try:
            message = wire.decode(topic, payload, time.monotonic())
        except DropMessage as error:
            log.warning("message_dropped", where=topic, reason=str(error))
            return
        if isinstance(message, State):
            self.streams[message.stream] = message
        elif isinstance(message, WorkerState):
            self._heard[message.incarnation] += 1
            self.workers[message.incarnation] = message
            if message.gone:
                self.forget_workers([message.incarnation])
        elif isinstance(message, StageState):
            self.processes[message.incarnation] = message
        self._news.set()
