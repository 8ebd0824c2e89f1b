"""Packet sizes and topic filters, against what MQTT 5 and paho say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client, topic_matches_sub
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from broker.packet import matches, packet_bytes
from pipeline.link import ContentType, Packet


class _Wire:
    """Stands for a connected socket, and counts what is sent."""

    def __init__(self) -> None:
        self.sent_bytes = 0

    def send(self, data: bytes) -> int:
        self.sent_bytes += len(data)
        return len(data)

    def close(self) -> None:
        pass


def paho_bytes(packet: Packet) -> int:
    """How many bytes paho puts on the wire for a packet."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    wire = _Wire()
    client._sock = wire  # type: ignore[assignment]
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = str(packet.content_type)
    if packet.expiry_s is not None:
        properties.MessageExpiryInterval = packet.expiry_s
    client.publish(packet.topic, packet.payload, 1, packet.retain, properties)
    return wire.sent_bytes


@pytest.mark.parametrize("payload_bytes", [0, 1, 60, 80, 100, 127, 128, 16_300, 16_383, 16_400, 2_097_100, 2_097_152])
@pytest.mark.parametrize("expiry_s", [None, 0, 30])
@pytest.mark.parametrize("topic", ["t", "tandem/helmet/gate/results", "tandem/hélmet"])
def test_size_is_what_goes_over_the_wire(payload_bytes: int, expiry_s: int | None, topic: str) -> None:
    packet = Packet(topic, bytes(payload_bytes), ContentType.MSGPACK, expiry_s=expiry_s)
    assert packet_bytes(packet) == paho_bytes(packet)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "wanted"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("+/+", "a/b", True),
        ("+", "", True),
        ("a/+", "a/", True),
        ("a/+", "a", False),
        ("#", "a/b/c", True),
        ("a/#", "a/b/c", True),
        ("a/#", "a", True),
        ("a/#", "ab/c", False),
        ("#", "$SYS/broker", False),
        ("+/broker", "$SYS/broker", False),
        ("$SYS/#", "$SYS/broker", True),
        ("$SYS/+", "$SYS/broker", True),
        ("a/+", "a/$b", True),
    ],
)
def test_filters(topic_filter: str, topic: str, wanted: bool) -> None:  # noqa: FBT001 - a table of cases
    assert matches(topic_filter, topic) is wanted


_levels = st.lists(st.sampled_from(["a", "b", "", "$c"]), min_size=1, max_size=4)
_wanted = st.lists(st.sampled_from(["a", "b", "", "+", "$c"]), min_size=1, max_size=4)


@given(_wanted, st.booleans(), _levels)
def test_filters_match_what_paho_matches(wanted: list[str], rest: bool, levels: list[str]) -> None:  # noqa: FBT001
    topic_filter = "/".join([*wanted, "#"] if rest else wanted)
    topic = "/".join(levels)
    assert matches(topic_filter, topic) == topic_matches_sub(topic_filter, topic)
