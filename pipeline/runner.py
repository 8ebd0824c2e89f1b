"""The runner hosts stages in one process: a thread and an inbox each, a local bus, and one link to the rest."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final

import structlog

from pipeline import wire
from pipeline.errors import DropMessage, PacketTooLarge
from pipeline.host import Host
from pipeline.link import Link, LinkEvents
from pipeline.messages import (
    Drain,
    HardExample,
    Message,
    StageState,
    Undeliverable,
    WireMessage,
)
from pipeline.observer import Observe
from pipeline.routes import ROUTES, filters, stream_of
from pipeline.stage import Clock, Stage, StageName
from pipeline.vitals import Pulse, Vitals

log = structlog.get_logger()

TELL_LOSSES_S: Final = 5.0
"""The shortest time between two reports of what the link has lost."""

MOST_TOPICS: Final = 1000
"""Of so many topics malformed messages are counted, and logged, one by one: others make up as many as they like."""

ELSEWHERE: Final = "elsewhere"

_CHAIN: Final = tuple(StageName)


ABANDON_S: Final = 2.0
"""So long a stage may take to come to the end of its message when the process has failed."""


class Runner:
    """Runs stages until it is told to drain, or one of them fails.

    A message goes over the local bus where a stage of this process takes it, over the link where it is public or
    nobody here takes it; a stage never knows which. A message that cannot be handled is counted, logged once per
    topic, and skipped. Whatever else a stage raises ends the process: see ``failure``.

    Attributes:
        connections: how often the broker was reached.
        dropped: the messages that could not be handled, by their topic or the stage that refused them; beyond
            ``MOST_TOPICS`` of these together, as ``elsewhere``.
        failure: what ended a stage, or None.
        failed: set when something has.
    """

    def __init__(
        self,
        service: str,
        process: StageState,
        link: Link,
        *,
        worker: str = "",
        clock: Clock = time.monotonic,
        observe: Observe | None = None,
    ) -> None:
        """Host nothing yet.

        Args:
            service: the namespace of topics.
            process: how this process announces itself.
            link: the connection to the broker, not yet started.
            worker: the name of the worker that is hosted here, if one is.
            clock: monotonic seconds.
            observe: gives each stage its observer; None where nobody looks on.
        """
        self._service = service
        self._process = process
        self._link = link
        self._worker = worker
        self._clock = clock
        self._hosts: list[Host] = []
        self._by_name: dict[StageName, list[Host]] = {}
        self._stopping = threading.Event()
        self._observe = observe
        self._pulse = Pulse()
        self._background = ThreadPoolExecutor(1, "background", initializer=self._pulse.begins)
        self._told_losses = (0, 0)
        self._tell_at_s = -math.inf
        self._drop_lock = threading.Lock()
        self._reason = "no connection has been made yet"
        self.connections = 0
        self.dropped: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.failed = threading.Event()

    def add(self, name: StageName, stage: Stage, stream: str = "") -> None:
        """Host a stage; ``stream`` is the one that a reader reads."""
        host = Host(name, stage, stream, observer=self._observe(name, stream) if self._observe else None)
        self._hosts.append(host)
        self._by_name.setdefault(name, []).append(host)

    def start(self) -> None:
        """Connect, and start every stage."""
        names = frozenset(host.name for host in self._hosts)
        wanted = filters(self._service, names, self._process.streams, self._worker)
        will = wire.encode(self._service, replace(self._process, online=False), self._clock())
        self._link.start(wanted, LinkEvents(self._received, self._connected, self._disconnected), will)
        self._send(self._process, None)
        for host in self._hosts:
            host.thread = threading.Thread(target=self._run, args=(host,), name=host.name, daemon=True)
            host.thread.start()

    def drain(self, grace_s: float) -> bool:
        """Let each stage finish what is here, in the order of the chain, then stop and disconnect.

        Returns:
            Whether every stage was done within ``grace_s`` seconds.
        """
        until_s = self._clock() + grace_s
        done = True
        for host in sorted(self._hosts, key=lambda host: _CHAIN.index(host.name)):
            host.inbox.put(Drain())
            done &= self._drained(host, until_s)
            host.inbox.put(None)
            if host.thread:
                host.thread.join(max(0.1, until_s - self._clock()))
        self._stopping.set()
        self._background.shutdown(wait=False, cancel_futures=True)
        self._send(replace(self._process, online=False), None)
        self._link.stop(flush_s=2.0)
        return done

    def abandon(self) -> None:
        """After a failure: stop every stage where it is, so that no thread runs on while the process ends."""
        self._stopping.set()
        for host in self._hosts:
            before, host.inbox = host.inbox, queue.SimpleQueue()
            for inbox in (before, host.inbox):
                inbox.put(None)
        for host in self._hosts:
            if host.thread:
                host.thread.join(ABANDON_S)
        self._background.shutdown(wait=False, cancel_futures=True)

    @property
    def identity(self) -> StageState:
        """How this process announces itself."""
        return self._process

    @property
    def link(self) -> Link:
        """The connection to the broker."""
        return self._link

    @property
    def fault(self) -> BaseException | None:
        """The bug that ends this process, or None."""
        return self.failure or self._link.failure

    @property
    def offline(self) -> str:
        """Why the broker is not reached, or empty."""
        return "" if self._link.connected else self._reason or "the connection has ended"

    def vitals(self) -> list[Vitals]:
        """How every stage is now, and the background. Any thread may ask, and holds nobody up by it.

        What a stage is doing is noted where it has an observer.
        """
        return [*(host.vitals for host in self._hosts), Vitals.of(self._pulse, "background", alive=True)]

    def tell_losses(self) -> None:
        """Publish this process's state anew where its link has lost more; ask from time to time."""
        counts = self._link.counts()
        losses = (counts.unsent, counts.refused)
        if losses == self._told_losses or not self._link.connected or self._clock() < self._tell_at_s:
            return
        self._told_losses, self._tell_at_s = losses, self._clock() + TELL_LOSSES_S
        self._process = replace(self._process, unsent=counts.unsent, refused=counts.refused)
        self._send(self._process, None)

    def deliver(self, name: StageName, message: Message) -> None:
        """Put a message into the inbox of a stage that is hosted here."""
        for host in self._hosts:
            if host.name is name:
                host.inbox.put(message)

    def submit(self, task: Callable[[], None]) -> None:
        """Run a task in the background, one after the other; what it raises ends the process.

        Once the stages are drained, nobody waits for it, and nothing is run.
        """
        if not self._stopping.is_set():
            self._background.submit(self._guarded, partial(self._task, task))

    def _drained(self, host: Host, until_s: float) -> bool:
        while self._clock() < until_s and not self.failed.is_set():
            if host.drained and host.inbox.empty():
                return True
            self.failed.wait(0.01)
        return False

    def _task(self, task: Callable[[], None]) -> None:
        self._pulse.doing = ("task", self._clock())
        task()
        self._pulse.doing = None

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - the runner's edge: a failure ends the process, loudly
            self.failure = self.failure or error
            self.failed.set()

    def _run(self, host: Host) -> None:
        self._guarded(lambda: self._loop(host))

    def _loop(self, host: Host) -> None:
        host.pulse.begins()
        while True:
            message = host.next(self._clock)
            if message is None:
                return
            if host.observer:
                host.pulse.doing = (type(message).__name__, self._clock())
                host.observer.took(message)
            try:
                for follows in host.stage.process(message):
                    self._dispatch(follows, host)
            except DropMessage as error:
                self._drop(host.name, str(error))
            host.told_to_drain |= isinstance(message, Drain)
            host.drained = host.told_to_drain and host.stage.drained
            if host.observer:
                host.pulse.doing = None

    def _dispatch(self, message: Message, sender: Host) -> None:
        if type(message) not in ROUTES:
            raise TypeError(f"{sender.name} may not send {message}")
        takers = self._takers(message)
        for host in takers:
            host.inbox.put(message)
        if not takers or ROUTES[type(message)].public:
            self._send(message, sender)  # type: ignore[arg-type]
        if sender.observer:
            sender.observer.sent(message)

    def _takers(self, message: Message) -> list[Host]:
        """The stages here that take a message; the topics of other streams and workers are none of ours."""
        hosts = [host for name in ROUTES[type(message)].takers for host in self._by_name.get(name, ())]
        if not hosts:
            return hosts
        if isinstance(message, HardExample):
            return hosts if message.worker == self._worker else []
        stream = stream_of(message)  # type: ignore[arg-type]
        if stream and stream not in self._process.streams:
            return []
        return [host for host in hosts if host.stream in ("", stream)]

    def _send(self, message: WireMessage, sender: Host | None) -> None:
        try:
            self._link.publish(wire.encode(self._service, message, self._clock()))
        except (PacketTooLarge, DropMessage) as error:
            log.warning("message_undeliverable", message=type(message).__name__, reason=str(error))
            if sender:
                sender.inbox.put(Undeliverable(message, str(error)))

    def _received(self, topic: str, payload: bytes) -> None:
        try:
            message = wire.decode(topic, payload, self._clock())
        except DropMessage as error:
            self._drop(topic, str(error))
            return
        for host in self._takers(message):
            host.inbox.put(message)

    def _drop(self, where: str, reason: str) -> None:
        with self._drop_lock:
            if len(self.dropped) >= MOST_TOPICS and where not in self.dropped:
                where = ELSEWHERE
            self.dropped[where] += 1
            first = self.dropped[where] == 1
        if first:
            log.warning("message_dropped", where=where, reason=reason)

    def _connected(self) -> None:
        """For those who ask; the link logs it."""
        self.connections += 1
        self._reason = ""

    def _disconnected(self, reason: str) -> None:
        """For those who ask; the link logs it, and what was under way is sent again by the stages."""
        self._reason = reason
