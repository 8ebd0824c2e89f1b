"""Who is there and how each is, by what they have said over the broker; and what of it wants looking after."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline import wire
from pipeline.app.parts import EDGE
from pipeline.errors import DropMessage
from pipeline.messages import SourceStatus, StageState, State, WireMessage, WorkerState
from pipeline.routes import WORKER_EXPIRY_S
from pipeline.stage import Clock
from pipeline.topics import parse

OVER = frozenset({SourceStatus.ENDED, SourceStatus.STOPPED})


@dataclass(slots=True)
class Service:
    """One service, by the newest word of each.

    Attributes:
        heard_s: when each worker was heard last, by its name; monotonic.
    """

    streams: dict[str, State] = field(default_factory=dict)
    workers: dict[str, WorkerState] = field(default_factory=dict)
    processes: dict[str, StageState] = field(default_factory=dict)
    heard_s: dict[str, float] = field(default_factory=dict)

    def take(self, message: WireMessage, now_s: float) -> None:
        """Take somebody's newest word."""
        if isinstance(message, State):
            self.streams[message.stream] = message
        elif isinstance(message, WorkerState):
            self.workers[message.worker] = message
            self.heard_s[message.worker] = now_s
        elif isinstance(message, StageState):
            self.processes[message.process] = message

    def alive(self, now_s: float) -> Service:
        """The same without workers that have said goodbye, are silent for too long, or whose process is gone."""
        gone = {process.incarnation for process in self.processes.values() if not process.online}
        workers = {
            name: worker
            for name, worker in sorted(self.workers.items())
            if not (worker.gone or worker.incarnation in gone or now_s - self.heard_s[name] > WORKER_EXPIRY_S)
        }
        return Service(dict(sorted(self.streams.items())), workers, dict(sorted(self.processes.items())))

    def problems(self) -> Iterator[str]:
        """What wants looking after, in words."""
        for stream, state in self.streams.items():
            yield from (f"{stream}: {words}" for words in _problems(state, self._missing(stream)))
        for name, process in self.processes.items():
            if process.refused:
                yield f"{name}: the broker has refused {process.refused} of its messages; its log says which"

    def notes(self) -> Iterator[str]:
        """What cannot be known, in words."""
        if self.streams and not (self.processes or self.workers):
            yield (
                "no process and no worker is seen: none has run for a day, or this user may not read them "
                "(stages/+ and workers/+)"
            )

    def _missing(self, stream: str) -> list[str]:
        """The stages of a stream that nobody runs; none where no process is seen at all, which may be forbidden."""
        online = [process for process in self.processes.values() if process.online and stream in process.streams]
        running = {stage for process in online for stage in process.stages}
        return [stage.value for stage in EDGE if stage.value not in running] if self.processes else []


def _problems(state: State, missing: list[str]) -> Iterator[str]:
    if not state.tally.balanced:
        yield "its ledger does not balance"
    if state.status is SourceStatus.RETRYING:
        yield f"its source is lost: {state.reason}"
    if missing and state.status not in OVER:
        yield f"it is {state.status}, and nobody runs its {', '.join(missing)}"
    elif missing and state.tally.pending:
        yield f"{state.tally.pending} frames have no end yet, and nobody runs its {', '.join(missing)}"
    elif state.waiting:
        yield state.waiting


class Census:
    """Collects what is said. ``received`` may be called on any thread.

    Attributes:
        heard: how many messages have come.
        unreadable: what could not be read, by its topic, and why.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.heard = 0
        self.unreadable: dict[str, str] = {}
        self._clock = clock
        self._services: defaultdict[str, Service] = defaultdict(Service)
        self._news = threading.Condition()

    def received(self, topic: str, payload: bytes) -> None:
        """Take a message."""
        with self._news:
            self.heard += 1
            try:
                message = wire.decode(topic, payload, self._clock())
            except DropMessage as error:
                self.unreadable[topic] = str(error)
            else:
                self._services[parse(topic).service].take(message, self._clock())
            self._news.notify_all()

    def wait(self, heard: int, timeout_s: float) -> bool:
        """Wait until more than ``heard`` messages have come; return whether they have within the time."""
        with self._news:
            return self._news.wait_for(lambda: self.heard > heard, timeout_s)

    def services(self) -> dict[str, Service]:
        """Every service, without workers that are gone."""
        with self._news:
            return {name: service.alive(self._clock()) for name, service in sorted(self._services.items())}
