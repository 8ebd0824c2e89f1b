"""A broker in memory: a double for tests, with switches for what networks do to people.

::

    with MemoryBroker() as broker:
        link = broker.link("edge")
        link.start(["tandem/+/+/results"], events)
        link.publish(packet)
        broker.settle()  # it has arrived, and so has all that was published because of it

It keeps the promises that ``broker.mqtt`` keeps. Message Expiry is not looked at, and nothing is ever under way: what
is published while a link is connected arrives.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from broker.outgoing import KEPT_LIMIT, Outgoing
from broker.packet import LARGEST_PACKET_BYTES, matches
from pipeline.link import LinkCounts, LinkEvents, Packet

_SETTLE_S: Final = 10.0

_DEAF: Final = LinkEvents(lambda _topic, _payload: None, lambda: None, lambda _reason: None)


class MemoryBroker:
    """Routes packets between its links, on one thread, in the order in which they were published.

    A subscriber gets one copy for each of its filters that matches, as from Mosquitto. Every event of every link comes
    on the broker's thread. An event that raises is a bug: the broker does nothing more, and ``settle``, ``close`` and
    every link's ``publish`` and ``stop`` raise what it raised.

    Attributes:
        failure: the bug that ended the broker, or None.
        max_packet_bytes: the largest packet that it takes, topic and properties included.
    """

    def __init__(self, *, max_packet_bytes: int = LARGEST_PACKET_BYTES) -> None:
        """Make a broker that runs."""
        self.failure: BaseException | None = None
        self.max_packet_bytes = max_packet_bytes
        self.refusal = ""
        self._links: list[MemoryLink] = []
        self._retained: dict[str, Packet] = {}
        self._actions: queue.Queue[tuple[Callable[[], object], threading.Event | None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._main, name="memory-broker", daemon=True)
        self._thread.start()

    def link(self, client_id: str, *, kept_limit: int = KEPT_LIMIT) -> MemoryLink:
        """A new link to this broker, not started yet."""
        return MemoryLink(self, client_id, kept_limit=kept_limit)

    def start(self) -> None:
        """Take connections again, after ``stop`` or ``refuse``: links that wait come back."""
        self.call(self._start)
        self.settle()

    def stop(self, reason: str = "the broker has stopped: waiting for it to come back") -> None:
        """Break every connection, take no new ones, and forget everything, retained messages too."""
        self.call(lambda: self._stop(reason))
        self.settle()

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def refuse(self, reason: str) -> None:
        """Take no new connections until ``start``: links that come are told ``reason``. Those that are here stay."""
        self.call(lambda: setattr(self, "refusal", reason))
        self.settle()

    def settle(self, timeout_s: float = _SETTLE_S) -> None:
        """Wait until everything that was published, and everything that followed from it, has arrived.

        Does nothing on the broker's own thread, since that is not where one can wait for it.

        Raises:
            TimeoutError: it takes longer than ``timeout_s``: do links answer each other without end?
        """
        if threading.current_thread() is self._thread:
            return
        with self._actions.all_tasks_done:
            settled = self._actions.all_tasks_done.wait_for(lambda: not self._actions.unfinished_tasks, timeout_s)
        self.check()
        if not settled:
            raise TimeoutError(f"the memory broker has not settled within {timeout_s:g} s")

    def close(self) -> None:
        """Do what was asked for so far, then end the broker's thread."""
        self._actions.put(None)
        self._thread.join()
        self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> None:
        """Raise what an event raised, if one did."""
        if self.failure is not None:
            raise self.failure

    def call(self, action: Callable[[], object], done: threading.Event | None = None) -> None:
        """Run ``action`` on the broker's thread, after what was asked for before; set ``done`` when it was its turn."""
        self._actions.put((action, done))

    def _main(self) -> None:
        while (asked := self._actions.get()) is not None:
            action, done = asked
            try:
                if self.failure is None:
                    action()
            except BaseException as error:  # noqa: BLE001 - a thread has no caller: check() raises it
                self.failure = error
            finally:
                self._actions.task_done()
                if done is not None:
                    done.set()

    def _start(self) -> None:
        self.refusal = ""
        for link in self._links:
            link.connect()

    def _stop(self, reason: str) -> None:
        self.refusal = reason
        self._retained.clear()
        for link in self._links:
            link.lose(reason)

    # What links ask for, on the broker's thread:

    def admit(self, link: MemoryLink) -> None:
        """Know a link, and connect it if it may."""
        self._links.append(link)
        link.connect()

    def route(self, packet: Packet) -> None:
        """Bring a packet to every subscriber."""
        if packet.retain:
            self._retained.pop(packet.topic, None)
            if packet.payload:
                self._retained[packet.topic] = packet
        for link in tuple(self._links):
            link.deliver(packet)

    def forget(self, link: MemoryLink) -> None:
        """A link is gone for good."""
        if link in self._links:
            self._links.remove(link)

    def remembered(self) -> tuple[Packet, ...]:
        """The retained packets."""
        return tuple(self._retained.values())


class MemoryLink:
    """A ``pipeline.link.Link`` to a ``MemoryBroker``.

    Attributes:
        reason: why the broker is not reached; empty while it is.
        outgoing: what waits, and counts of what was dropped.
    """

    def __init__(self, broker: MemoryBroker, client_id: str, *, kept_limit: int = KEPT_LIMIT) -> None:
        """Prepare a link; nothing is connected before ``start``."""
        self.client_id = client_id
        self.reason = ""
        self.outgoing = Outgoing(kept_limit)
        self._broker = broker
        self._filters: tuple[str, ...] = ()
        self._events = _DEAF
        self._will: Packet | None = None
        self._online = threading.Event()
        self._cut_off = ""

    def start(self, filters: Sequence[str], events: LinkEvents, will: Packet | None = None) -> None:
        """Connect in the background, and whenever the broker takes connections."""
        self._filters, self._events, self._will = tuple(filters), events, will
        self._broker.call(lambda: self._broker.admit(self))

    def publish(self, packet: Packet) -> None:
        """Queue a packet; never blocks. While the broker is away, packets without ``keep`` or ``retain`` are dropped.

        Raises:
            PacketTooLarge: the broker takes no packet of this size.
        """
        self._broker.check()
        self.outgoing.offer(packet)
        self._broker.call(self._send)

    @property
    def failure(self) -> BaseException | None:
        """The bug that ended the broker, or None."""
        return self._broker.failure

    @property
    def connected(self) -> bool:
        """Whether the broker is reached now."""
        return self._online.is_set() and self.failure is None

    def counts(self) -> LinkCounts:
        """What became of its packets so far."""
        return self.outgoing.counts()

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until the broker is reached, and return whether it is; where not, ``reason`` says why."""
        self._online.wait(timeout_s)
        return self.connected

    def stop(self, flush_s: float) -> None:
        """Let queued packets arrive, for up to ``flush_s`` seconds, then disconnect cleanly: no will is sent."""
        gone = threading.Event()
        self._broker.call(self._leave, gone)
        gone.wait(flush_s)
        self._broker.check()

    def cut(self, reason: str = "the connection was cut") -> None:
        """Break the connection, as a network does: the will is sent. It stays away until ``restore``."""
        self._broker.call(lambda: self._cut(reason))
        self._broker.settle()

    def restore(self) -> None:
        """Let it come back after ``cut``."""
        self._broker.call(self._restore)
        self._broker.settle()

    def kill(self) -> None:
        """End it as the death of its process does: the will is sent, its owner hears nothing, it never comes back."""
        self._broker.call(self._kill)
        self._broker.settle()

    # On the broker's thread:

    def connect(self) -> None:
        """Come back if nothing is in the way; tell the owner if something is."""
        if self._online.is_set() or self._events is _DEAF:
            return
        if refusal := self._cut_off or self._broker.refusal:
            self._tell(refusal)
            return
        self.reason = ""
        self.outgoing.online(window=1, limit_bytes=self._broker.max_packet_bytes)
        self._online.set()
        for packet in self._broker.remembered():
            self.deliver(packet)
        while self._send():
            pass
        self._events.connected()

    def lose(self, reason: str) -> None:
        """The connection is gone."""
        if self._online.is_set():
            self._online.clear()
            self.outgoing.offline()
        self._tell(reason)

    def deliver(self, packet: Packet) -> None:
        """Hand over one copy for each filter that matches."""
        if self._online.is_set():
            for _ in range(sum(matches(name, packet.topic) for name in self._filters)):
                self._events.received(packet.topic, packet.payload)

    def _send(self) -> bool:
        packet = self.outgoing.next()
        if packet is not None:
            self._broker.route(packet)
        return packet is not None

    def _tell(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            self._events.disconnected(reason)

    def _cut(self, reason: str) -> None:
        self._cut_off = reason
        self._die(reason)

    def _restore(self) -> None:
        self._cut_off = ""
        self.connect()

    def _die(self, reason: str) -> None:
        was_online = self._online.is_set()
        self.lose(reason)
        if was_online and self._will is not None:
            self._broker.route(self._will)

    def _kill(self) -> None:
        self._events = _DEAF
        self._die("its process has died")
        self._broker.forget(self)

    def _leave(self) -> None:
        self._events = _DEAF
        self.lose("it was stopped")
        self._broker.forget(self)
