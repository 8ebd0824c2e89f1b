"""A link to a broker over MQTT 5 that comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from broker.address import BrokerAddress
from broker.backoff import pause_s
from broker.connection import Callbacks, Connection, NoAnswer
from broker.outgoing import KEPT_LIMIT, Outgoing
from broker.probe import diagnose
from pipeline.errors import BrokerError
from pipeline.link import LinkCounts, LinkEvents, Packet

log = structlog.get_logger(__name__)


class MqttLink:
    """A ``pipeline.link.Link`` over MQTT 5, on a thread and an event loop of its own.

    Packets leave in the order in which they were published. ``keep`` packets come at least once: one that was under
    way when the connection broke is sent again. An event that raises is a bug: the link ends, and ``publish`` and
    ``stop`` raise what it raised.

    Attributes:
        reason: why the broker is not reached, and what to do; empty while it is, and before the first try has ended.
        failure: the bug that ended the link, or None.
        refused: packets that the broker acknowledged with a refusal.
        outgoing: what waits, and counts of what was dropped.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        backoff_s: tuple[float, float] = (1.0, 30.0),
        kept_limit: int = KEPT_LIMIT,
        awaited: bool = False,
    ) -> None:
        """Prepare a link; nothing is connected before ``start``.

        Args:
            address: where the broker is.
            client_id: no two links to one broker may have the same.
            backoff_s: the shortest and the longest wait before the next try; it doubles in between, with jitter.
            kept_limit: how many ``keep`` packets are held while the broker is away.
            awaited: somebody waits for the first connection and says why there is none; so the log does not.

        Raises:
            ConfigError: the CA file cannot be used.
        """
        self.reason = ""
        self.failure: BaseException | None = None
        self.refused = 0
        self.outgoing = Outgoing(kept_limit)
        self._address = address
        self._tls = address.tls_context()
        self._client_id = client_id
        self._backoff_s = backoff_s
        self._awaited = awaited
        self._failed_tries = 0
        self._diagnosis = ""
        self._refusals: set[tuple[str, str]] = set()
        self._questions: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._fault: asyncio.Future[BaseException] | None = None
        self._online = threading.Event()
        self._stopping = asyncio.Event()
        self._flush_s = 0.0

    def start(self, filters: Sequence[str], events: LinkEvents, will: Packet | None = None) -> None:
        """Connect in the background, and go on trying for as long as it takes. A link starts once."""
        if self._thread is not None:
            raise RuntimeError("a link starts once: make a new one")
        self._filters, self._events, self._will = tuple(filters), events, will
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._main, args=(self._loop,), name=f"mqtt-{self._client_id}", daemon=True
        )
        self._thread.start()

    def publish(self, packet: Packet) -> None:
        """Queue a packet; never blocks. While the broker is away, packets without ``keep`` or ``retain`` are dropped.

        Raises:
            PacketTooLarge: the broker takes no packet of this size.
        """
        if self.failure is not None:
            raise self.failure
        if self.outgoing.offer(packet):
            self._call(self._pump)

    @property
    def connected(self) -> bool:
        """Whether the broker is reached now."""
        return self._online.is_set() and self.failure is None

    def counts(self) -> LinkCounts:
        """What became of its packets so far."""
        return self.outgoing.counts(self.refused)

    @property
    def refusals(self) -> Mapping[str, str]:
        """The topics on which the broker refused a packet, and why."""
        return dict(self._refusals.copy())

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the broker is reached, and return whether it is; where not, ``reason`` says why."""
        self._online.wait(timeout_s)
        return self.connected

    def round_trip(self, timeout_s: float) -> bool:
        """Ask the broker something, and return whether it has answered within the time.

        What it had sent before, retained messages as well, has been received by then. Of these it may hold back some
        until others are acknowledged: another round trip, during which nothing comes, shows that none is left.
        """
        answered = threading.Event()
        self._call(functools.partial(self._ask, answered))
        return answered.wait(timeout_s)

    def stop(self, flush_s: float) -> None:
        """Give queued packets up to ``flush_s`` seconds to be acknowledged, then disconnect cleanly: no will is sent.

        A try to connect that is under way is seen to its end, up to 5 seconds where nothing answers.
        """
        self._flush_s = flush_s
        self._call(self._stopping.set)
        if self._thread is None or self._thread is threading.current_thread():
            return
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _call(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the link's thread, if it still runs."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: the link is stopped
                self._loop.call_soon_threadsafe(callback)

    def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.set_exception_handler(self._on_loop_error)
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._run())
        except BaseException as error:  # noqa: BLE001 - a thread has no caller: publish() and stop() raise it
            self._fail(error)
        if self.failure is not None:
            log.error("link_failed", exc_info=self.failure)
            self._online.set()  # so that nobody waits any longer

    def _on_loop_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A socket that closes at the wrong moment leaves aiomqtt's event handlers behind: that connection is over."""
        error = context.get("exception") or RuntimeError(context["message"])
        if self.failure is not None or not _is_of_the_socket(error):
            self._fail(error)
        elif self._fault is not None and not self._fault.done():
            self._fault.set_result(error)

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._stopping.set()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._connect_and_serve()
            except NoAnswer as error:
                self._lost(await self._diagnosed(error))
                await self._pause()
            except BrokerError as error:
                self._diagnosis = ""
                self._lost(str(error))
                await self._pause()
        if self.outgoing.kept:
            log.warning("kept_packets_lost", packets=self.outgoing.kept)

    async def _diagnosed(self, error: NoAnswer) -> str:
        """What is there in place of a broker; asked once for a row of tries that end alike, and not at the end."""
        if self._stopping.is_set():
            return str(error)
        if not self._diagnosis:
            work = functools.partial(diagnose, self._address, error.waited_s)
            self._diagnosis = await asyncio.get_running_loop().run_in_executor(None, work)
        return self._diagnosis

    async def _pause(self) -> None:
        delay_s = pause_s(self._failed_tries, self._backoff_s)
        self._failed_tries = min(self._failed_tries + 1, 30)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _connect_and_serve(self) -> None:
        """One connection from its beginning to its end; returns when the link stops.

        Raises:
            BrokerError: it could not be made, or broke.
        """
        callbacks = Callbacks(self._received, self._acknowledged)
        connection = Connection(self._address, self._client_id, callbacks, tls=self._tls, will=self._will)
        async with connection.opened(self._filters):
            try:
                self._reached(connection)
                await self._until_broken_or_stopped(connection)
            finally:
                self._connection = None
                self.outgoing.offline()
                self._online.clear()

    def _reached(self, connection: Connection) -> None:
        log.info("broker_connected", broker=str(self._address), kept=self.outgoing.kept)
        self._failed_tries = 0
        self._diagnosis = self.reason = ""
        self._awaited = False
        self._connection = connection
        self.outgoing.online(connection.window, connection.limit_bytes)
        self._online.set()
        self._pump()
        self._events.connected()

    def _lost(self, reason: str) -> None:
        if reason == self.reason or self.failure is not None:
            return
        self.reason = reason
        if not self._awaited:
            log.warning("broker_lost", broker=str(self._address), reason=reason)
        self._events.disconnected(reason)

    async def _until_broken_or_stopped(self, connection: Connection) -> None:
        broken = asyncio.ensure_future(connection.broken())
        stopping = asyncio.ensure_future(self._stopping.wait())
        fault = self._fault = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait({broken, stopping, fault}, return_when=asyncio.FIRST_COMPLETED)
            if fault.done():
                raise BrokerError(f"the connection to {self._address} broke: {fault.result()}")
            deadline_s = asyncio.get_running_loop().time() + self._flush_s
            while not (broken.done() or self.outgoing.idle) and asyncio.get_running_loop().time() < deadline_s:
                await asyncio.wait({broken}, timeout=0.01)
            if broken.done():
                broken.result()
        finally:
            broken.cancel()
            stopping.cancel()

    def _ask(self, answered: threading.Event) -> None:
        if self._connection is None:
            return
        question = asyncio.ensure_future(self._connection.round_trip(self._filters))
        self._questions.add(question)  # the event loop alone would not keep it
        question.add_done_callback(functools.partial(self._asked, answered))

    def _asked(self, answered: threading.Event, question: asyncio.Future[None]) -> None:
        self._questions.discard(question)
        if not question.cancelled() and question.exception() is None:
            answered.set()

    def _pump(self) -> None:
        """Hand over what the window has room for."""
        connection = self._connection
        while connection is not None and (packet := self.outgoing.next()):
            self.outgoing.sent(connection.send(packet), packet)
        if connection is not None:
            connection.flush()

    def _received(self, topic: str, payload: bytes) -> None:
        try:
            self._events.received(topic, payload)
        except BaseException as error:
            self._fail(error)
            raise

    def _acknowledged(self, key: int, refusal: str) -> None:
        packet = self.outgoing.acknowledged(key)
        if packet is not None and refusal:
            self._refused(packet.topic, refusal)
        if self.outgoing.waiting:
            asyncio.get_running_loop().call_soon(self._pump)  # not now: paho is in the middle of this acknowledgement

    def _refused(self, topic: str, refusal: str) -> None:
        self.refused += 1
        if (topic, refusal) not in self._refusals:
            self._refusals.add((topic, refusal))
            log.error("publish_refused", topic=topic, reason=refusal, remedy="allow this topic in the broker's ACL")


def _is_of_the_socket(error: BaseException) -> bool:
    """Whether asyncio or its selector raised it itself, as for a socket that is no longer open or registered."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).name in {"selectors.py", "selector_events.py"}
