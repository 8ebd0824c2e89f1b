"""A broker and the networks around it, with faults: messages are lost, doubled, late, and overtake each other.

A link behaves as ``broker.mqtt`` does, and its memory is the same ``Outgoing``: what the broker has not acknowledged
when a connection breaks is held if it must not be lost, and forgotten otherwise; at each connect the process subscribes
and publishes its retained packets again. The broker keeps no sessions, so what was on its way to a process is lost with
its connection.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Final

from broker.outgoing import Outgoing
from broker.packet import matches
from pipeline.link import LinkEvents, Packet
from pipeline.stage import Clock
from tests.simulation.faults import Fault, Schedule

LARGEST_BYTES: Final = 4_000
"""A picture of 8x8 fits in, one of 64x64 does not."""

LATENCY_S: Final = 0.005
"""From a process to the broker, and from there to another."""

KEEPALIVE_S: Final = 7.5
"""A connection that carries nothing for so long is given up: one and a half times the keepalive (MQTT 5, 3.1.2.10)."""

RECEIVE_MAXIMUM: Final = 20
"""So many packets of a process may wait for their acknowledgement."""

BACKOFF_S: Final = (0.1, 1.0, 10.0)
"""How long a process may take to come back once it could."""


Later = Callable[[float, Callable[[], None]], None]


class Network:
    """The broker: it carries packets between links, each to every one that subscribes to its topic.

    Attributes:
        struck: how often messages were lost, doubled or late, and how often a broken connection took some with it.
    """

    def __init__(self, schedule: Schedule, now: Clock, later: Later) -> None:
        """Deliver by calling ``later`` with a delay and what is to happen then; ``now`` counts from 0."""
        self.struck: Counter[Fault] = Counter()
        self.now, self.later = now, later
        self._schedule = schedule
        self._draw = random.Random(f"network/{schedule.seed}")
        self._links: dict[str, SimulatedLink] = {}
        self._retained: dict[str, tuple[Packet, float]] = {}
        self._gone_until_s = -math.inf

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong any more."""
        return self.now() >= self._schedule.calm_s

    @property
    def reachable(self) -> bool:
        """Whether the broker runs."""
        return self.now() >= self._gone_until_s

    def join(self, link: SimulatedLink) -> None:
        """Know the link of a process, in the place of the one that had its name before."""
        if before := self._links.get(link.name):
            link.cut_until_s = before.cut_until_s
        self._links[link.name] = link
        self._connect(link)

    def link(self, name: str) -> SimulatedLink:
        """The link of the process of this name."""
        return self._links[name]

    def gone(self, for_s: float, *, wiped: bool) -> None:
        """End the broker for a while, and every connection with it; ``wiped`` forgets the retained packets too."""
        until_s = self._until(for_s)
        self._gone_until_s = max(self._gone_until_s, until_s)
        if wiped:
            self._retained.clear()
        for link in self._links.values():
            link.lose()
            self._connect(link)

    def cut(self, name: str, for_s: float) -> None:
        """Carry nothing to and from this process; nobody notices before the keepalive is over."""
        link, until_s = self._links[name], self._until(for_s)
        link.cut_until_s = max(link.cut_until_s, until_s)
        self._silent_until(link, until_s)

    def wedged(self, name: str, for_s: float) -> None:
        """A process does nothing for a while, so that it is not there to answer the broker's pings."""
        link = self._links[name]
        link.stopped_until_s = self._until(for_s)
        self._silent_until(link, link.stopped_until_s)

    def breaks(self, name: str) -> None:
        """Break the connection of a process, which notices at once."""
        link = self._links[name]
        link.lose()
        self._connect(link)

    def died(self, name: str) -> None:
        """The process of this link has died: the broker says its will, what it had sent already may still arrive."""
        link = self._links[name]
        link.alive = False
        self.testament(link)

    def testament(self, link: SimulatedLink) -> None:
        """Publish the will of a link that broke."""
        if link.will is not None and self.reachable:
            self.route(link.will)

    def route(self, packet: Packet) -> None:
        """Bring a packet to all who subscribe to its topic."""
        if packet.retain:
            self._retained[packet.topic] = packet, self.now() + (packet.expiry_s or math.inf)
        for link in self._links.values():
            if link.connected and _any_matches(link.filters, packet.topic):
                self._carry(packet, link)

    def delay_s(self) -> float:
        """How long a packet takes from one end of a connection to the other."""
        if self.calm:
            return LATENCY_S
        late_s = self._draw.random() ** 3 * self._schedule.delay_s / 2
        if late_s > 0.1:
            self.struck[Fault.DELAY] += 1
        return LATENCY_S + late_s

    def _until(self, for_s: float) -> float:
        return min(self.now() + for_s, self._schedule.calm_s)

    def _silent_until(self, link: SimulatedLink, until_s: float) -> None:
        silent_s = until_s - self.now()
        if silent_s > KEEPALIVE_S:
            self.later(KEEPALIVE_S, lambda: self.breaks(link.name) if link is self._links[link.name] else None)

    def _connect(self, link: SimulatedLink) -> None:
        """Connect once broker and network are there, and then a while later if that was not at once."""
        ready_s = max(self._gone_until_s, link.cut_until_s, link.stopped_until_s)
        wait_s = 0.0
        if ready_s > self.now() or link.generation:
            wait_s = LATENCY_S + max(0.0, ready_s - self.now()) + self._draw.random() * self._draw.choice(BACKOFF_S)
        generation = link.generation
        self.later(wait_s, lambda: self._connected(link, generation))

    def _connected(self, link: SimulatedLink, generation: int) -> None:
        if not link.alive or link.connected or link.generation != generation:
            return
        if not self.reachable or link.cut:
            self._connect(link)
            return
        link.connected = True
        for packet, until_s in list(self._retained.values()):
            if self.now() < until_s and _any_matches(link.filters, packet.topic):
                self._carry(packet, link)
        link.outgoing.online(RECEIVE_MAXIMUM, LARGEST_BYTES)
        link.send()

    def _carry(self, packet: Packet, link: SimulatedLink) -> None:
        copies = 1
        if not self.calm:
            if self._draw.random() < self._schedule.loss:
                self.struck[Fault.LOSS] += 1
                copies -= 1
            if self._draw.random() < self._schedule.doubling:
                self.struck[Fault.DOUBLING] += 1
                copies += 1
        for _ in range(copies):
            self.later(self.delay_s(), partial(self._arrive, packet, link, link.generation))

    def _arrive(self, packet: Packet, link: SimulatedLink, generation: int) -> None:
        if link.generation != generation or not link.alive:
            return
        if link.cut:
            self.later(link.cut_until_s - self.now() + LATENCY_S, partial(self._arrive, packet, link, generation))
        else:
            link.received(packet.topic, packet.payload)


@lru_cache(maxsize=1024)
def _any_matches(filters: tuple[str, ...], topic: str) -> bool:
    return any(matches(wanted, topic) for wanted in filters)


class SimulatedLink:
    """A ``Link`` of one process to the network.

    Attributes:
        generation: how many connections it has lost.
        cut_until_s: nothing passes until then.
        stopped_until_s: its process does nothing until then.
        alive: whether its process is.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.name, self.connected, self.alive = name, False, True
        self.outgoing = Outgoing()
        self.filters: tuple[str, ...] = ()
        self.will: Packet | None = None
        self.generation = 0
        self.cut_until_s = self.stopped_until_s = -math.inf
        self.received: Callable[[str, bytes], None] = lambda _topic, _payload: None
        self._network = network
        self._sent = 0
        self._arrives_s = 0.0

    @property
    def cut(self) -> bool:
        """Whether nothing passes now."""
        return self._network.now() < self.cut_until_s

    def start(self, filters: Sequence[str], events: LinkEvents, will: Packet | None = None) -> None:
        """Join the network."""
        self.filters, self.received, self.will = tuple(filters), events.received, will
        self._network.join(self)

    def publish(self, packet: Packet) -> None:
        """Queue a packet.

        Raises:
            PacketTooLarge: it is larger than ``LARGEST_BYTES``.
        """
        self.outgoing.offer(packet)
        self.send()

    def stop(self, flush_s: float) -> None:
        """Do nothing: a simulated process ends without a goodbye of its link."""

    def lose(self) -> None:
        """The connection is gone, and with it what was under way."""
        if self.connected:
            self.connected = False
            self.generation += 1
            self.outgoing.offline()
            self._network.testament(self)

    def send(self) -> None:
        """Let leave what waits, in its order."""
        network = self._network
        while self.connected and (packet := self.outgoing.next()) is not None:
            self._sent += 1
            self.outgoing.sent(self._sent, packet)
            self._arrives_s = max(self._arrives_s, network.now() + network.delay_s())
            network.later(self._arrives_s - network.now(), partial(self._arrive, self._sent, packet, self.generation))

    def _arrive(self, key: int, packet: Packet, generation: int) -> None:
        if generation != self.generation:
            return
        if self.cut:
            self._network.later(
                self.cut_until_s - self._network.now() + LATENCY_S, partial(self._arrive, key, packet, generation)
            )
            return
        self.outgoing.acknowledged(key)
        self._network.route(packet)
        if self.alive:
            self.send()
