"""Messages of every kind, whole and damaged in every way that hypothesis finds, for a plant to be fed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st

from pipeline import wire
from pipeline.link import ContentType, Packet
from pipeline.messages import NotStored, Resume, Stored, WireMessage
from pipeline.model import FrameId, Verdict
from tests.examples import (
    BUILDERS,
    SERVICE,
    cloud_answer,
    detected,
    example,
    frame,
    hard_example,
    reader_progress,
    results,
    resume,
    stage_state,
    store,
    uplink_progress,
    worker_state,
)
from tests.unit.test_wire import body_of, junk, places, with_body

STREAM: Final = "gate"
"""The stream that takes the blows."""

REAL_WORKER: Final = "big-one"
FALSE_WORKERS: Final = ("cloud-1", "cloud-2", "cloud-3")
_SENT_S: Final = 103.0


def _others() -> list[WireMessage]:
    """Valid messages that nobody waits for: of other frames, processes, incarnations and workers.

    Only the name of the real worker is nobody else's: who may announce it is the broker's to know.
    """
    found: list[WireMessage] = [resume(), stage_state(), uplink_progress(), reader_progress()]
    found += [store(result) for result in results()]
    found += [worker_state(name, gone=gone) for name in FALSE_WORKERS for gone in (False, True)]
    found += [resume(refused="it is not yours"), Resume(STREAM, "r2", resume().counts, ((5, 4), (1, 2)), "")]
    found += [hard_example(seq, worker=REAL_WORKER) for seq in range(10, 50)]
    for seq in (1, 2, 3, 7, 1 << 37):
        seen = detected(frame(seq))
        hard = Verdict(True, "IBT", seq / 1e3, None, "")
        found += [seen.frame, seen, example(seen), example(seen, hard), hard_example(seq, worker=REAL_WORKER)]
        found += [cloud_answer(seq, worker=name) for name in (*FALSE_WORKERS, REAL_WORKER)]
        for revision in (1, 2):
            found += [Stored(FrameId(STREAM, seq), revision, revision == 2, {})]
            found += [NotStored(FrameId(STREAM, seq), revision, "full")]
    return found


@dataclasses.dataclass(frozen=True)
class _Template:
    packet: Packet
    body: dict[str, Any]
    paths: tuple[str, ...]

    @classmethod
    def of(cls, message: WireMessage) -> _Template:
        packet = wire.encode(SERVICE, message, _SENT_S)
        body = body_of(packet)
        return cls(packet, body, tuple(path for path, _ in places(body)))


TEMPLATES: Final = [_Template.of(message) for message in (*(build() for build in BUILDERS.values()), *_others())]
TOPICS: Final = sorted({template.packet.topic for template in TEMPLATES})

Draw = Callable[[st.SearchStrategy[Any]], Any]


def _whole(draw: Draw, template: _Template) -> Packet:
    return template.packet


def _cut(draw: Draw, template: _Template) -> Packet:
    payload = template.packet.payload
    return dataclasses.replace(template.packet, payload=payload[: draw(st.integers(0, len(payload) - 1))])


def _flipped(draw: Draw, template: _Template) -> Packet:
    payload = bytearray(template.packet.payload)
    for at, bits in draw(st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=4)):
        payload[at % len(payload)] ^= bits
    return dataclasses.replace(template.packet, payload=bytes(payload))


def _of_another_type(draw: Draw, template: _Template) -> Packet:
    value = draw(junk | st.sampled_from([1 << 63, -(1 << 63), 1e308, float("nan"), float("-inf"), 2**53, -1, 0, ""]))
    body: Any = copy.deepcopy(template.body)
    *parents, last = draw(st.sampled_from(template.paths)).split(".")
    inner = body
    for part in parents:
        inner = inner[int(part)] if part.isdecimal() else inner[part]
    inner[last] = _json(value) if template.packet.content_type is ContentType.JSON else value
    return with_body(template.packet, body)


def _of_another_version(draw: Draw, template: _Template) -> Packet:
    version = draw(st.sampled_from([0, 2, -1, "1", None, True, 1.5, [1], 1 << 60]))
    return with_body(template.packet, {**template.body, "v": version})


def _on_another_topic(draw: Draw, template: _Template) -> Packet:
    return dataclasses.replace(template.packet, topic=draw(st.sampled_from(TOPICS)))


def _of_odd_length(draw: Draw, template: _Template) -> Packet:
    """Msgpack that says it is longer, or deeper, than it is."""
    head = draw(st.sampled_from([b"\xdf", b"\xdd", b"\xc6", b"\xdb", b"\xc9", b"\x8f", b"\xdc\xff", b"\x91" * 2000]))
    length = draw(st.sampled_from([0, 1, 255, 0x7FFFFFFF, 0xFFFFFFFF])).to_bytes(4, "big")
    tail = draw(st.sampled_from([b"", template.packet.payload, template.packet.payload[1:]]))
    return dataclasses.replace(template.packet, payload=head + length + tail)


def _noise(draw: Draw, template: _Template) -> Packet:
    return dataclasses.replace(template.packet, payload=draw(st.binary(max_size=64)))


DAMAGES: Final = (
    _whole,
    _cut,
    _flipped,
    _of_another_type,
    _of_another_version,
    _on_another_topic,
    _of_odd_length,
    _noise,
)


@st.composite
def packets(draw: Draw) -> tuple[str, Packet]:
    """What was done to a message, and what became of it."""
    damage = draw(st.sampled_from(DAMAGES))
    return damage.__name__, damage(draw, draw(st.sampled_from(TEMPLATES)))


def _json(value: Any) -> Any:
    """The value without what JSON has no word for."""
    if isinstance(value, bytes):
        return list(value)
    if isinstance(value, dict):
        return {key: _json(inner) for key, inner in value.items()}
    return [_json(inner) for inner in value] if isinstance(value, list) else value
