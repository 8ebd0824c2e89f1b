"""What a link has yet to send, whatever becomes of its connection."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

import structlog

from broker.packet import LARGEST_PACKET_BYTES, packet_bytes
from pipeline.errors import PacketTooLarge
from pipeline.link import LinkCounts, Packet

KEPT_LIMIT: Final = 10_000
KEPT_BYTES: Final = 64 * 1024 * 1024
"""What waits for the broker may take so many packets and so many bytes; beyond them the oldest go."""

BYTES_UNDER_WAY: Final = 512 * 1024
"""Beyond this, one packet at a time waits for its acknowledgement: on a line of 1 Mbit/s more would stand before the
ping for longer than the keepalive allows; on a fast one it is never reached."""

log = structlog.get_logger(__name__)


class Outgoing:
    """The packets of one link that wait, are under way, or are sent again. Every method may be called from any thread.

    Packets leave in the order in which they were offered. While offline, ``keep`` packets wait (the newest
    ``kept_limit``, and of those as many as ``kept_bytes`` hold), the last retained packet of each topic is remembered,
    and the rest is dropped. ``keep`` packets that were under way when the connection broke are sent again, before
    later ones. While online no more than ``kept_limit`` packets and ``kept_bytes`` wait either, however slow the broker
    takes them.

    Attributes:
        dropped: packets without ``keep`` or ``retain`` that found or left the link offline.
        dropped_kept: ``keep`` packets that no longer had room.
        dropped_large: packets from an outage that turned out too large for the broker.
    """

    def __init__(self, kept_limit: int = KEPT_LIMIT, kept_bytes: int = KEPT_BYTES) -> None:
        self.dropped = 0
        self.dropped_kept = 0
        self.dropped_large = 0
        self._lock = threading.Lock()
        self._online = False
        self._awake = False
        self._kept: deque[Packet] = deque()
        self._kept_bytes = 0
        self._kept_limit = kept_limit
        self._drops_told = False
        self._kept_bytes_limit = kept_bytes
        self._retained: dict[str, Packet] = {}
        self._queue: deque[Packet] = deque()
        self._queue_bytes = 0
        self._under_way: dict[int, Packet] = {}
        self._under_way_bytes = 0
        self._handed_over = False
        self._window = 1
        self._limit_bytes = LARGEST_PACKET_BYTES

    def offer(self, packet: Packet) -> bool:
        """Take a packet, and return whether the sender must be woken for it.

        Raises:
            PacketTooLarge: the broker, as last met, takes no packet of this size.
        """
        size_bytes = packet_bytes(packet)
        if size_bytes > self._limit_bytes:
            raise PacketTooLarge(packet.topic, size_bytes, self._limit_bytes)
        with self._lock:
            if packet.retain:
                self._retained[packet.topic] = packet
            if self._online:
                self._line_up(packet)
                self._make_room()
                wake, self._awake = not self._awake, True
                return wake
            self._hold(packet)
            return False

    def _line_up(self, packet: Packet) -> None:
        self._queue.append(packet)
        self._queue_bytes += len(packet.payload)

    def _make_room(self) -> None:
        for _ in range(len(self._queue) - 1):  # the newest has a place, and each of the others goes once at most
            if len(self._queue) <= self._kept_limit and self._queue_bytes <= self._kept_bytes_limit:
                return
            self._leave_out(self._next_in_line())

    def _next_in_line(self) -> Packet:
        packet = self._queue.popleft()
        self._queue_bytes -= len(packet.payload)
        return packet

    def _hold(self, packet: Packet) -> None:
        if packet.retain:
            return
        if not packet.keep:
            self.dropped += 1
            return
        self._kept.append(packet)
        self._kept_bytes += len(packet.payload)
        while len(self._kept) > self._kept_limit or self._kept_bytes > self._kept_bytes_limit:
            oldest = self._kept.popleft()
            self._kept_bytes -= len(oldest.payload)
            self._leave_out(oldest)

    def _leave_out(self, packet: Packet) -> None:
        if packet.retain:  # the newest of its topic must reach the broker, if later
            self._line_up(self._retained[packet.topic])
        elif not packet.keep:
            self.dropped += 1
        else:
            self.dropped_kept += 1
            if not self._drops_told:
                self._drops_told = True
                log.warning(
                    "kept_packets_dropped", limit=self._kept_limit, topic=packet.topic, so_far=self.dropped_kept
                )

    def online(self, window: int, limit_bytes: int) -> None:
        """The broker is reached: queue the retained packets, then the kept ones, and let later ones follow.

        Args:
            window: how many packets may be under way.
            limit_bytes: the largest packet that this broker takes.
        """
        with self._lock:
            self._window, self._limit_bytes = window, limit_bytes
            for packet in (*self._retained.values(), *self._kept):
                if self._fits(packet):
                    self._line_up(packet)
            self._kept.clear()
            self._kept_bytes = 0
            if self._drops_told:
                log.warning("kept_packets_dropped_until_now", packets=self.dropped_kept)
            self._drops_told = False
            self._online = self._awake = True

    def _fits(self, packet: Packet) -> bool:
        size_bytes = packet_bytes(packet)
        if size_bytes <= self._limit_bytes:
            return True
        self.dropped_large += 1
        log.error("packet_too_large", topic=packet.topic, size_bytes=size_bytes, limit_bytes=self._limit_bytes)
        return False

    def offline(self) -> None:
        """The broker is lost: hold what was not acknowledged and must not be lost, forget the rest."""
        with self._lock:
            unsent = (*self._under_way.values(), *self._queue)
            self._under_way.clear()
            self._under_way_bytes = 0
            self._handed_over = False
            self._queue.clear()
            self._queue_bytes = 0
            self._online = False
            for packet in unsent:
                self._hold(packet)

    def next(self) -> Packet | None:
        """The packet to send now; None where none waits or the window is full."""
        with self._lock:
            if not self._queue:
                self._awake = False
                return None
            full = len(self._under_way) >= self._window
            if full or (self._under_way and self._under_way_bytes + len(self._queue[0].payload) > BYTES_UNDER_WAY):
                return None
            self._handed_over = True
            return self._next_in_line()

    def sent(self, key: int, packet: Packet) -> None:
        """A packet is under way; ``key`` names it until it is acknowledged."""
        with self._lock:
            self._under_way[key] = packet
            self._handed_over = False
            self._under_way_bytes += len(packet.payload)

    def acknowledged(self, key: int) -> Packet | None:
        """The broker has answered for a packet; return it."""
        with self._lock:
            packet = self._under_way.pop(key, None)
            if packet is not None:
                self._under_way_bytes -= len(packet.payload)
            return packet

    def counts(self, refused: int = 0) -> LinkCounts:
        """What became of the packets so far; the link knows how many were ``refused``."""
        return LinkCounts(
            refused,
            self.dropped,
            self.dropped_kept,
            self.dropped_large,
            len(self._kept),
            len(self._queue),
            len(self._under_way),
        )

    @property
    def waiting(self) -> bool:
        """Whether a packet waits for room in the window."""
        return bool(self._queue)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent or acknowledged."""
        with self._lock:
            return not (self._queue or self._under_way or self._handed_over)

    @property
    def kept(self) -> int:
        """How many packets wait for the broker to come back."""
        return len(self._kept)
