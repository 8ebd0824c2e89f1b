"""What becomes of packets before, during and after an outage."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from broker.outgoing import BYTES_UNDER_WAY, Outgoing
from broker.packet import packet_bytes
from pipeline.errors import PacketTooLarge
from pipeline.link import ContentType, Packet

LARGE = 1_000_000


def packet(name: str, *, size: int = 0, retain: bool = False, keep: bool = False) -> Packet:
    return Packet(name, bytes(size), ContentType.JSON, retain=retain, keep=keep)


def drain(outgoing: Outgoing) -> list[str]:
    """Send all, each acknowledged at once."""
    topics = []
    while (one := outgoing.next()) is not None:
        topics.append(one.topic)
    return topics


def test_order_is_kept() -> None:
    outgoing = Outgoing()
    outgoing.online(10, LARGE)
    for name in "abc":
        outgoing.offer(packet(name))
    assert drain(outgoing) == ["a", "b", "c"]


def test_the_sender_is_woken_once_and_again_when_it_slept() -> None:
    outgoing = Outgoing()
    outgoing.online(10, LARGE)
    assert drain(outgoing) == []
    assert outgoing.offer(packet("a"))
    assert not outgoing.offer(packet("b"))
    drain(outgoing)
    assert outgoing.offer(packet("c"))


def test_offline_packets_are_dropped_kept_or_remembered() -> None:
    outgoing = Outgoing()
    outgoing.offer(packet("plain"))
    outgoing.offer(packet("kept 1", keep=True))
    outgoing.offer(packet("state", size=1, retain=True))
    outgoing.offer(packet("kept 2", keep=True))
    outgoing.offer(packet("state", size=2, retain=True))
    assert outgoing.dropped == 1
    outgoing.online(10, LARGE)
    first = outgoing.next()
    assert first is not None
    assert (first.topic, len(first.payload)) == ("state", 2)
    assert drain(outgoing) == ["kept 1", "kept 2"]


def test_retained_packets_are_sent_at_every_connect_and_kept_ones_once() -> None:
    outgoing = Outgoing()
    outgoing.offer(packet("state", retain=True))
    outgoing.offer(packet("kept", keep=True))
    for wanted in (["state", "kept"], ["state"]):
        outgoing.online(10, LARGE)
        assert drain(outgoing) == wanted
        outgoing.offline()


def test_what_was_under_way_is_kept_before_what_waited() -> None:
    outgoing = Outgoing()
    outgoing.online(2, LARGE)
    for i, name in enumerate(["acknowledged", "under way", "waiting"]):
        outgoing.offer(packet(name, keep=True))
        if one := outgoing.next():
            outgoing.sent(i, one)
    assert outgoing.acknowledged(0) is not None
    outgoing.offline()
    outgoing.offer(packet("later", keep=True))
    outgoing.online(10, LARGE)
    assert drain(outgoing) == ["under way", "waiting", "later"]


def test_plain_packets_under_way_are_lost_and_counted() -> None:
    outgoing = Outgoing()
    outgoing.online(1, LARGE)
    outgoing.offer(packet("a"))
    outgoing.offer(packet("b"))
    one = outgoing.next()
    assert one is not None
    outgoing.sent(1, one)
    outgoing.offline()
    assert outgoing.dropped == 2
    assert outgoing.idle


def test_the_newest_kept_packets_stay_and_one_line_says_so() -> None:
    outgoing = Outgoing(kept_limit=2)
    with capture_logs() as logs:
        for name in "abcd":
            outgoing.offer(packet(name, keep=True))
    assert outgoing.dropped_kept == 2
    assert [line["event"] for line in logs] == ["kept_packets_dropped"]
    outgoing.online(10, LARGE)
    assert drain(outgoing) == ["c", "d"]


def test_what_an_outage_dropped_is_told_when_it_is_over_and_each_outage_tells_anew() -> None:
    outgoing = Outgoing(kept_limit=1)
    for dropped in (2, 4):
        with capture_logs() as logs:
            for name in "abc":
                outgoing.offer(packet(name, keep=True))
            outgoing.online(10, LARGE)
        assert [line["event"] for line in logs] == ["kept_packets_dropped", "kept_packets_dropped_until_now"]
        assert logs[1]["packets"] == outgoing.dropped_kept == dropped
        drain(outgoing)
        outgoing.offline()


def test_kept_packets_take_no_more_bytes_than_they_may() -> None:
    outgoing = Outgoing(kept_bytes=250)
    for name in "abc":
        outgoing.offer(packet(name, size=100, keep=True))
    assert outgoing.dropped_kept == 1
    outgoing.online(10, LARGE)
    assert drain(outgoing) == ["b", "c"]
    outgoing.offline()
    for name in "de":
        outgoing.offer(packet(name, size=100, keep=True))
    assert outgoing.dropped_kept == 1


def test_a_broker_that_takes_packets_too_slowly_does_not_fill_the_memory() -> None:
    outgoing = Outgoing(kept_limit=3)
    outgoing.online(1, LARGE)
    outgoing.offer(packet("state", retain=True))
    for name in "abcde":
        outgoing.offer(packet(name, keep=name != "b"))
    assert (outgoing.dropped_kept, outgoing.dropped) == (2, 1)
    assert drain(outgoing) == ["state", "d", "e"], "a state is put off, not left out"


def test_what_waits_for_a_slow_broker_takes_no_more_bytes_than_it_may() -> None:
    outgoing = Outgoing(kept_bytes=1000)
    outgoing.online(1, LARGE)
    outgoing.offer(packet("state", size=900, retain=True))
    for name in "abcd":
        outgoing.offer(packet(name, size=400))
    assert outgoing.dropped == 3
    assert outgoing.counts().queued == 2
    outgoing.offline()
    outgoing.online(1, LARGE)
    for name in "efg":
        outgoing.offer(packet(name, size=400, keep=True))
    assert outgoing.dropped_kept == 2
    assert drain(outgoing) == ["g", "state"]


def test_the_window_is_not_overrun() -> None:
    outgoing = Outgoing()
    outgoing.online(2, LARGE)
    for key, name in enumerate("abc"):
        outgoing.offer(packet(name))
        if one := outgoing.next():
            outgoing.sent(key, one)
    assert outgoing.next() is None
    assert not outgoing.idle
    outgoing.acknowledged(0)
    last = outgoing.next()
    assert last is not None
    assert last.topic == "c"


def test_large_packets_wait_for_each_other_but_always_move() -> None:
    outgoing = Outgoing()
    outgoing.online(100, 10 * BYTES_UNDER_WAY)
    for name in "ab":
        outgoing.offer(packet(name, size=2 * BYTES_UNDER_WAY))
    first = outgoing.next()
    assert first is not None
    outgoing.sent(1, first)
    assert outgoing.next() is None
    outgoing.acknowledged(1)
    assert drain(outgoing) == ["b"]


def test_the_largest_packet_fits_and_one_byte_more_does_not() -> None:
    outgoing = Outgoing()
    largest = packet("a", size=100)
    outgoing.online(1, packet_bytes(largest))
    outgoing.offer(largest)
    with pytest.raises(PacketTooLarge, match=r"raise max_packet_size in mosquitto\.conf") as caught:
        outgoing.offer(packet("a", size=101))
    assert (caught.value.size_bytes, caught.value.limit_bytes) == (packet_bytes(largest) + 1, packet_bytes(largest))


def test_the_limit_outlives_the_connection() -> None:
    outgoing = Outgoing()
    outgoing.online(1, 50)
    outgoing.offline()
    with pytest.raises(PacketTooLarge):
        outgoing.offer(packet("a", size=100, keep=True))


def test_what_an_outage_held_and_is_too_large_is_logged_and_dropped() -> None:
    outgoing = Outgoing()
    outgoing.offer(packet("state", size=100, retain=True))
    outgoing.offer(packet("large", size=100, keep=True))
    outgoing.offer(packet("small", keep=True))
    with capture_logs() as logs:
        outgoing.online(1, 50)
    assert drain(outgoing) == ["small"]
    assert outgoing.dropped_large == 2
    assert [(line["event"], line["topic"]) for line in logs] == [
        ("packet_too_large", "state"),
        ("packet_too_large", "large"),
    ]
