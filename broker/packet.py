"""What MQTT 5 says of packets and topics, as pure functions."""

from __future__ import annotations

from typing import Final

from pipeline.link import Packet

LARGEST_PACKET_BYTES: Final = 268_435_460
"""A fixed header of 5 bytes, and what four bytes can say of the rest (MQTT 5, 1.5.5)."""


def packet_bytes(packet: Packet) -> int:
    """The size of a packet as a PUBLISH at QoS 1, with topic and properties (MQTT 5, 3.3)."""
    properties = 3 + len(packet.content_type) + (0 if packet.expiry_s is None else 5)
    topic = packet.topic
    topic_bytes = len(topic) if topic.isascii() else len(topic.encode())
    remaining = 2 + topic_bytes + 2 + _varint_bytes(properties) + properties + len(packet.payload)
    return 1 + _varint_bytes(remaining) + remaining


def _varint_bytes(value: int) -> int:
    """How many bytes a Variable Byte Integer takes (MQTT 5, 1.5.5)."""
    return 1 if value < 128 else 2 if value < 16_384 else 3 if value < 2_097_152 else 4


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic is in a filter with ``+`` and ``#`` (MQTT 5, 4.7).

    A wildcard in first place does not match topics that begin with ``$``.
    """
    wanted, given = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(given) or level not in {"+", given[i]}:
            return False
    return len(wanted) == len(given)
