"""A broker and the networks around it, with faults: messages are lost, doubled, late, and overtake each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Protocol

from broker.packet import matches
from pipeline.errors import PacketTooLarge
from pipeline.link import LinkEvents, Packet
from tests.simulation.faults import Schedule

LARGEST_BYTES: Final = 4_000
"""A picture of 8x8 fits in, one of 64x64 does not."""

LATENCY_S: Final = 0.01


class Receiver(Protocol):
    """A process that subscribes."""

    name: str
    filters: tuple[str, ...]
    alive: bool

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a message that has arrived."""


class Network:
    """Carries packets between processes, each to every process that subscribes to its topic."""

    def __init__(
        self, schedule: Schedule, now: Callable[[], float], later: Callable[[float, Callable[[], None]], None]
    ) -> None:
        """Deliver by calling ``later`` with a delay and what is to happen then."""
        self._schedule, self._now, self._later = schedule, now, later
        self._draw = random.Random(f"network/{schedule.seed}")
        self._processes: dict[str, Receiver] = {}
        self._retained: dict[str, tuple[Packet, float]] = {}
        self._cut_until_s: dict[str, float] = {}

    def join(self, process: Receiver) -> None:
        """Connect a process, in the place of the one that had its name before."""
        self._processes[process.name] = process
        for packet, until_s in list(self._retained.values()):
            if self._now() < until_s and _takes(process, packet.topic):
                self._carry(packet, process)

    def cut(self, name: str, for_s: float) -> None:
        """Lose whatever this process sends, and whatever is sent to it."""
        self._cut_until_s[name] = max(self._cut_until_s.get(name, 0.0), self._now() + for_s)

    def publish(self, sender: str, packet: Packet) -> None:
        """Send a packet on its ways.

        Raises:
            PacketTooLarge: it is larger than ``LARGEST_BYTES``.
        """
        if len(packet.payload) > LARGEST_BYTES:
            raise PacketTooLarge(packet.topic, len(packet.payload), LARGEST_BYTES)
        if self._is_cut(sender):
            return
        if packet.retain and packet.expiry_s:
            self._retained[packet.topic] = packet, self._now() + packet.expiry_s
        for process in self._processes.values():
            if _takes(process, packet.topic):
                self._carry(packet, process)

    def _carry(self, packet: Packet, process: Receiver) -> None:
        if self._now() >= self._schedule.calm_s:
            self._later(LATENCY_S, lambda: self._arrive(packet, process))
            return
        copies = 0 if self._draw.random() < self._schedule.loss else 1
        copies += self._draw.random() < self._schedule.doubling
        for _ in range(copies):
            delay_s = LATENCY_S + self._draw.random() ** 3 * self._schedule.delay_s
            self._later(delay_s, lambda: self._arrive(packet, process))

    def _arrive(self, packet: Packet, process: Receiver) -> None:
        if process.alive and not self._is_cut(process.name):
            process.receive(packet.topic, packet.payload)

    def _is_cut(self, name: str) -> bool:
        return self._now() < min(self._cut_until_s.get(name, 0.0), self._schedule.calm_s)


def _takes(process: Receiver, topic: str) -> bool:
    return _any_matches(process.filters, topic)


@lru_cache(maxsize=1024)
def _any_matches(filters: tuple[str, ...], topic: str) -> bool:
    return any(matches(wanted, topic) for wanted in filters)


class SimulatedLink:
    """A ``Link`` of one process to the network; it is always connected, and what it sends may be lost."""

    connected = True

    def __init__(self, network: Network, name: str) -> None:
        self._network, self._name = network, name

    def start(self, filters: Sequence[str], events: LinkEvents, will: Packet | None = None) -> None:
        """Do nothing: the process joins the network by itself."""

    def publish(self, packet: Packet) -> None:
        self._network.publish(self._name, packet)

    def stop(self, flush_s: float) -> None:
        """Do nothing: nothing waits here."""
