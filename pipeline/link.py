"""What the runner needs of a broker. ``broker.mqtt`` and ``broker.memory`` have it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class ContentType(StrEnum):
    """The MIME types of payloads (MQTT 5, Content Type)."""

    JSON = "application/json"
    MSGPACK = "application/msgpack"


@dataclass(frozen=True, slots=True)
class Packet:
    """One PUBLISH, always at QoS 1.

    Attributes:
        retain: the broker keeps it for later subscribers; the link publishes it again at each connect.
        expiry_s: Message Expiry Interval, seconds; None never expires.
        keep: hold it while the broker is away (the newest of them, bounded), since nobody sends it again.
    """

    topic: str
    payload: bytes
    content_type: ContentType
    retain: bool = False
    expiry_s: int | None = None
    keep: bool = False


@dataclass(frozen=True, slots=True)
class LinkCounts:
    """What became of a link's packets, and how many wait.

    Attributes:
        refused: packets that the broker acknowledged with a refusal.
        dropped: packets without ``keep`` or ``retain`` that found or left the link offline.
        dropped_kept: ``keep`` packets that no longer had room.
        dropped_large: packets from an outage that turned out too large for the broker.
        kept: packets that wait for the broker to come back.
        queued: packets that wait to be sent.
        under_way: packets that are sent and not acknowledged.
    """

    refused: int = 0
    dropped: int = 0
    dropped_kept: int = 0
    dropped_large: int = 0
    kept: int = 0
    queued: int = 0
    under_way: int = 0

    @property
    def unsent(self) -> int:
        """How many packets that nobody sends again were dropped."""
        return self.dropped_kept + self.dropped_large


@dataclass(frozen=True, slots=True)
class LinkEvents:
    """What a link tells its owner, on the link's own thread: return soon and raise nothing.

    Attributes:
        received: topic and payload of a message from a subscribed topic.
        connected: the broker is reached, subscriptions are made.
        disconnected: the broker is lost, and why; the link goes on trying.
    """

    received: Callable[[str, bytes], None]
    connected: Callable[[], None]
    disconnected: Callable[[str], None]


class Link(Protocol):
    """A connection to a broker that comes back by itself. Every method may be called from any thread.

    Sessions are clean: nothing relies on the broker's memory. At each (re)connect the link subscribes to its filters
    and publishes its retained packets again. What was under way when a connection broke is lost; the stages send
    it again.
    """

    def start(self, filters: Sequence[str], events: LinkEvents, will: Packet | None = None) -> None:
        """Connect in the background, and go on trying for as long as it takes."""

    def publish(self, packet: Packet) -> None:
        """Queue a packet; never blocks. While the broker is away, packets without ``keep`` or ``retain`` are dropped.

        Raises:
            PacketTooLarge: the broker takes no packet of this size.
        """

    @property
    def connected(self) -> bool:
        """Whether the broker is reached now."""

    @property
    def failure(self) -> BaseException | None:
        """The bug that ended the link, or None."""

    def counts(self) -> LinkCounts:
        """What became of its packets so far."""

    def stop(self, flush_s: float) -> None:
        """Give queued packets up to ``flush_s`` seconds to be acknowledged, then disconnect cleanly."""
