"""Every message survives the wire, and nothing that comes over it does more harm than a ``DecodeError``."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline import wire
from pipeline.errors import DecodeError, DropMessage
from pipeline.image import Image
from pipeline.link import ContentType, Packet
from pipeline.messages import (
    AnswerStatus,
    CloudAnswer,
    Detected,
    Example,
    Frame,
    HardExample,
    NotStored,
    ReaderProgress,
    Result,
    Resume,
    Store,
    Stored,
    UplinkProgress,
    WireMessage,
    WorkerState,
)
from pipeline.model import MAX_COUNT, Counts, Detections, Ending, FrameId, Verdict
from pipeline.payloads.parts import MAX_TEXT
from pipeline.routes import ROUTES
from pipeline.topics import Kind
from tests.examples import (
    BUILDERS,
    CLASSES,
    SERVICE,
    cloud_answer,
    comparable,
    detected,
    detections,
    example,
    frame,
    hard_example,
    not_stored,
    result,
    results,
    stage_state,
    store,
    stored,
    worker_state,
)

SENT_S: Final = 103.0
"""The sender's clock; ``frame()`` was born three seconds before."""
RECEIVED_S: Final = 9_000.5
"""The receiver's clock, which has nothing to do with the sender's."""

PACKETS: Final[Mapping[type[Any], Packet]] = {
    kind: wire.encode(SERVICE, build(), SENT_S) for kind, build in BUILDERS.items()
}
BINARY: Final = (Frame, Detected, Example, Store, HardExample)
JSON: Final = tuple(kind for kind in BUILDERS if kind not in BINARY)

every_type = pytest.mark.parametrize("kind", BUILDERS, ids=lambda kind: kind.__name__)
every_binary_type = pytest.mark.parametrize("kind", BINARY, ids=lambda kind: kind.__name__)
every_json_type = pytest.mark.parametrize("kind", JSON, ids=lambda kind: kind.__name__)


def travelled(message: WireMessage, *, sent_s: float = SENT_S, received_s: float = RECEIVED_S) -> Any:
    """The message on the other side."""
    packet = wire.encode(SERVICE, message, sent_s)
    return wire.decode(packet.topic, packet.payload, received_s)


def body_of(packet: Packet) -> dict[str, Any]:
    """A payload's fields."""
    read = json.loads if packet.content_type is ContentType.JSON else msgpack.unpackb
    body: dict[str, Any] = read(packet.payload)
    return body


def with_body(packet: Packet, body: object) -> Packet:
    """The packet with other fields, valid or not."""
    write: Callable[[object], bytes] = msgpack.packb
    if packet.content_type is ContentType.JSON:
        write = lambda fields: json.dumps(fields).encode()  # noqa: E731 - a pair with the line above
    return dataclasses.replace(packet, payload=write(body))


def refused(packet: Packet) -> str:
    """Why this packet is dropped; the error names its topic."""
    with pytest.raises(DecodeError) as caught:
        wire.decode(packet.topic, packet.payload, RECEIVED_S)
    assert caught.value.topic == packet.topic
    assert str(caught.value) == f"{packet.topic}: {caught.value.reason}"
    assert 0 < len(caught.value.reason) <= 300
    return caught.value.reason


def changed(kind: type[Any], path: str, value: object) -> Packet:
    """The packet of an example with one field, at a dotted path, set to ``value``."""
    body = body_of(PACKETS[kind])
    *parents, last = path.split(".")
    inner: Any = body
    for part in parents:
        inner = inner[int(part)] if part.isdecimal() else inner[part]
    inner[last] = value
    return with_body(PACKETS[kind], body)


# What goes through.

finite = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(codec="utf-8"), max_size=MAX_TEXT)
numbers = st.integers(0, MAX_COUNT - 1)
seconds = st.floats(0, 1e10)
steps = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), finite, max_size=4)
plain = st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])
names = st.lists(st.text(plain, max_size=20), min_size=1, max_size=5).map(tuple)
verdicts = st.builds(
    Verdict, st.booleans(), st.sampled_from(["IBT", "ü"]), st.none() | finite, st.none() | finite, words
)
counted = st.tuples(*[st.integers(0, 1 << 50)] * 3).map(lambda n: Counts(sum(n), *n))


@st.composite
def some_detections(draw: st.DrawFn) -> Detections:
    """Any detections that are valid."""
    n, classes = draw(st.integers(0, 6)), draw(names)
    edges = st.floats(-1e6, 1e6, width=32)
    return Detections(
        draw(hnp.arrays(np.float32, (n, 4), elements=edges)),
        draw(hnp.arrays(np.float32, n, elements=st.floats(0, 1, width=32))),
        draw(hnp.arrays(np.int32, n, elements=st.integers(0, len(classes) - 1))),
        classes,
    )


@every_type
def test_every_example_survives_the_wire(kind: type[Any]) -> None:
    message = BUILDERS[kind]()
    again = travelled(message, sent_s=SENT_S, received_s=SENT_S)
    assert type(again) is kind
    wanted = comparable(message)
    if kind in (Result, Store):  # the class names of a public result are those that its boxes have
        inner = wanted if kind is Result else wanted["result"]
        if kind is Result:
            inner["detections"]["names"] = CLASSES[:2]
    assert comparable(again) == wanted


@every_type
def test_the_packet_is_as_its_route_says(kind: type[Any]) -> None:
    packet, route = PACKETS[kind], ROUTES[kind]
    assert (packet.retain, packet.keep) == (route.retain, route.keep)
    assert packet.content_type is (ContentType.MSGPACK if kind in BINARY else ContentType.JSON)
    assert type(packet.payload) is bytes
    assert f"/{route.kind}" in packet.topic


@every_json_type
def test_what_people_read_is_plain_json_of_version_1(kind: type[Any]) -> None:
    text = PACKETS[kind].payload.decode()
    body = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert next(iter(body.items())) == ("v", 1)
    assert "\n" not in text


@every_binary_type
def test_what_carries_pixels_is_msgpack_of_version_1(kind: type[Any]) -> None:
    assert next(iter(body_of(PACKETS[kind]).items())) == ("v", 1)


@settings(max_examples=60)
@given(some_detections(), verdicts, words, steps, st.data())
def test_any_values_survive_the_chain(
    seen: Detections, verdict: Verdict, model: str, steps_ms: dict[str, float], data: st.DataObject
) -> None:
    name, id_, media_s = model[:256], FrameId("gate", data.draw(st.integers(1, MAX_COUNT - 1))), data.draw(seconds)
    captured_ns = data.draw(st.integers(0, (1 << 63) - 1))
    picture = Image(jpeg=frame().image.jpeg)
    sent = Frame(id_, picture, captured_ns, media_s, SENT_S, data.draw(counted), steps_ms)
    message = Example(Detected(sent, seen, data.draw(st.floats(0, 1)), name, steps_ms), verdict, steps_ms)
    assert comparable(travelled(message, received_s=SENT_S)) == comparable(message)
    hard = HardExample(id_, "w", name, 3, media_s, picture, seen, verdict)
    assert comparable(travelled(hard)) == comparable(hard)


@settings(max_examples=60)
@given(some_detections(), verdicts, words, st.none() | st.text("abcü", max_size=256), st.integers(0, 10**15))
def test_any_result_survives_on_its_way_to_the_sink(
    seen: Detections, verdict: Verdict, reason: str, model: str | None, captured_us: int
) -> None:
    message = dataclasses.replace(
        result(ending=Ending.FAILED),
        detections=seen,
        verdict=verdict,
        reason=reason,
        cloud_model=model,
        captured_ns=captured_us * 1000,
        upload_bytes=captured_us,
    )
    assert comparable(travelled(store(message))) == comparable(store(message))


@settings(max_examples=60)
@given(some_detections(), verdicts, words, st.sampled_from(AnswerStatus))
def test_what_people_read_is_rounded_and_no_worse(
    seen: Detections, verdict: Verdict, reason: str, status: AnswerStatus
) -> None:
    for message in (
        dataclasses.replace(result(), detections=seen, verdict=verdict, reason=reason),
        dataclasses.replace(cloud_answer(status=status), detections=seen, reason=reason),
    ):
        for box in body_of(wire.encode(SERVICE, message, SENT_S))["boxes"]:
            assert box["xyxy"] == [round(edge, 2) for edge in box["xyxy"]]
            assert box["score"] == round(box["score"], 4)
        again = travelled(message)
        assert again.reason == reason
        assert again.detections.labels.tolist() == seen.labels.tolist()
        assert [again.detections.names[i] for i in seen.labels] == [seen.names[i] for i in seen.labels]
        np.testing.assert_allclose(again.detections.scores, seen.scores, atol=0.51e-4)
        np.testing.assert_allclose(again.detections.boxes, seen.boxes, atol=0.0051, rtol=1e-6)
        assert comparable(travelled(again)) == comparable(again)
    assert travelled(message).status is status
    assert travelled(message).detections.names == seen.names


@given(words, st.dictionaries(words, words, max_size=3), numbers, st.lists(numbers, max_size=4))
def test_any_values_survive_in_plain_messages(text: str, files: dict[str, str], n: int, recovered: list[int]) -> None:
    messages: list[WireMessage] = [
        Stored(FrameId("gate", n + 1 if n < MAX_COUNT - 1 else n), 2, True, files),
        NotStored(FrameId("gate", 1), 1, text),
        UplinkProgress("gate", text, tuple(recovered), n, n, n, n, text),
        Resume("gate", text, Counts(n, n), tuple((i, i) for i in recovered), text),
    ]
    for message in messages:
        assert travelled(message) == message


@pytest.mark.parametrize("message", results(), ids=lambda message: f"{message.revision}-{message.ending}")
def test_both_revisions_survive_with_every_ending(message: Result) -> None:
    for again in (travelled(message), travelled(store(message)).result):
        assert (again.revision, again.ending, again.final) == (message.revision, message.ending, message.final)
        assert (again.source, again.cloud_model, again.worker) == (message.source, message.cloud_model, message.worker)


def test_only_the_first_revision_brings_its_picture() -> None:
    assert travelled(store(result(revision=1))).image.jpeg == store().image.jpeg  # type: ignore[union-attr]
    assert travelled(store(result(revision=2, ending=Ending.CLOUD))).image is None


def test_words_for_people_are_cut_where_they_are_too_long() -> None:
    long = "ü" * 100_000
    for message in (
        dataclasses.replace(cloud_answer(status=AnswerStatus.ERROR), reason=long),
        dataclasses.replace(hard_example(), verdict=dataclasses.replace(hard_example().verdict, reason=long)),
    ):
        again = travelled(message)
        assert (again.reason if isinstance(again, CloudAnswer) else again.verdict.reason) == long[:MAX_TEXT]


@every_type
def test_fields_that_a_later_version_adds_are_ignored(kind: type[Any]) -> None:
    packet = PACKETS[kind]
    body = body_of(packet)

    def grown(value: Any, key: str) -> Any:
        if isinstance(value, list):
            return [grown(inner, key) for inner in value]
        if not isinstance(value, dict) or key in ("steps_ms", "files"):
            return value
        return {**{name: grown(inner, name) for name, inner in value.items()}, "mood": {"of": ["the", 1, None]}}

    later = with_body(packet, grown(body, ""))
    assert later.payload != packet.payload
    assert comparable(wire.decode(packet.topic, later.payload, RECEIVED_S)) == comparable(
        wire.decode(packet.topic, packet.payload, RECEIVED_S)
    )


# Time.


@pytest.mark.parametrize("build", [frame, detected, example])
def test_only_the_age_crosses(build: Callable[[], Frame | Detected | Example]) -> None:
    message = travelled(build(), sent_s=103.0, received_s=9000.5)
    while not isinstance(message, Frame):
        message = message.detected if isinstance(message, Example) else message.frame
    assert message.born_s == pytest.approx(9000.5 - 3.0)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_an_age_is_the_same_by_any_clock(born_s: float, age_s: float, received_s: float) -> None:
    message = travelled(frame(born_s=born_s), sent_s=born_s + age_s, received_s=received_s)
    assert received_s - message.born_s == pytest.approx(age_s, abs=1e-6)


def test_a_frame_from_the_future_is_new() -> None:
    assert travelled(frame(born_s=200.0), sent_s=100.0, received_s=5.0).born_s == 5.0


def test_a_hard_example_says_what_is_left() -> None:
    assert travelled(hard_example(), sent_s=0.0, received_s=1e6).expires_s == 10.0


@pytest.mark.parametrize(
    ("left_s", "expiry_s"), [(0.0, 1), (0.4, 1), (1.0, 1), (10.6, 11), (600.0, 600), (1e10, 2**32 - 1)]
)
def test_the_broker_drops_a_hard_example_with_its_deadline(left_s: float, expiry_s: int) -> None:
    assert wire.encode(SERVICE, dataclasses.replace(hard_example(), expires_s=left_s), 0.0).expiry_s == expiry_s


def test_an_announcement_expires_and_what_is_answered_does_not() -> None:
    assert wire.encode(SERVICE, worker_state(), 0.0).expiry_s == 6
    for message in (result(), stored(), stage_state()):
        assert wire.encode(SERVICE, message, 0.0).expiry_s is None


def test_a_process_that_is_gone_is_forgotten_in_the_end() -> None:
    assert wire.encode(SERVICE, stage_state(online=False), 0.0).expiry_s is not None


# What does not go through.


@every_type
@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.5, [1], "2" * 10_000])
def test_other_versions_are_refused(kind: type[Any], version: object) -> None:
    assert "but this version of Tandem reads 1" in refused(changed(kind, "v", version))


@every_type
def test_a_payload_without_a_version_is_refused(kind: type[Any]) -> None:
    body = body_of(PACKETS[kind])
    del body["v"]
    assert refused(with_body(PACKETS[kind], body)) == "v is None, but this version of Tandem reads 1"


@every_type
@pytest.mark.parametrize(
    ("value", "name"), [(None, "NoneType"), (5, "int"), ("v", "str"), ([], "list"), ([["v", 1]], "list")]
)
def test_a_payload_that_is_no_map_is_refused(kind: type[Any], value: object, name: str) -> None:
    assert refused(with_body(PACKETS[kind], value)) == f"the payload is {name}, not a map of fields"


@every_type
def test_every_cut_of_a_payload_is_refused(kind: type[Any]) -> None:
    packet = PACKETS[kind]
    size = len(packet.payload)
    for length in {*range(0, size, max(1, size // 50)), size - 1}:
        refused(dataclasses.replace(packet, payload=packet.payload[:length]))


@every_type
def test_what_follows_a_payload_is_refused(kind: type[Any]) -> None:
    refused(dataclasses.replace(PACKETS[kind], payload=PACKETS[kind].payload + b"\x01"))


def test_reasons_of_broken_payloads_can_be_read() -> None:
    results_ = PACKETS[Result]
    assert "EOF while parsing" in refused(dataclasses.replace(results_, payload=results_.payload[:-1]))
    assert "EOF while parsing" in refused(dataclasses.replace(results_, payload=b""))
    assert "incomplete input" in refused(dataclasses.replace(PACKETS[Frame], payload=PACKETS[Frame].payload[:-1]))
    assert "extra data" in refused(dataclasses.replace(PACKETS[Frame], payload=PACKETS[Frame].payload + b"\x01"))


@every_type
def test_an_oversized_payload_is_refused_unread(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    size, limit = len(PACKETS[kind].payload), "MAX_PAYLOAD_BYTES" if kind in BINARY else "MAX_JSON_BYTES"
    monkeypatch.setattr(wire, limit, size)
    wire.decode(PACKETS[kind].topic, PACKETS[kind].payload, RECEIVED_S)
    monkeypatch.setattr(wire, limit, size - 1)
    assert refused(PACKETS[kind]) == f"a payload of {size} bytes is larger than the {size - 1} taken"


@every_type
def test_nothing_is_sent_that_is_refused_for_its_size(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender is told so, and the sink then sends what a miner asks for in a smaller piece."""
    size, limit = len(PACKETS[kind].payload), "MAX_PAYLOAD_BYTES" if kind in BINARY else "MAX_JSON_BYTES"
    monkeypatch.setattr(wire, limit, size - 1)
    with pytest.raises(DropMessage, match=f"a payload of {size} bytes is larger than the {size - 1} taken"):
        wire.encode(SERVICE, BUILDERS[kind](), SENT_S)


def test_200_mb_are_refused() -> None:
    packet = dataclasses.replace(PACKETS[Frame], payload=bytes(200_000_000))
    assert refused(packet) == "a payload of 200000000 bytes is larger than the 67108864 taken"


@pytest.mark.parametrize(
    "topic", ["tandem/helmet/gate/frames/x", "other/helmet/gate/frames", "", "tandem/+/gate/state"]
)
def test_other_topics_are_refused(topic: str) -> None:
    assert refused(dataclasses.replace(PACKETS[Frame], topic=topic)).startswith("is no topic of Tandem: ")


@every_type
def test_a_message_on_the_topic_of_another_is_refused(kind: type[Any]) -> None:
    packet = PACKETS[kind]
    *parents, last = packet.topic.split("/")
    for topic in (packet.topic.replace("/gate/", "/yard/"), "/".join([*parents, f"{last}x"])):
        if topic != packet.topic:
            refused(dataclasses.replace(packet, topic=topic))


@pytest.mark.parametrize(
    ("kind", "topic", "belongs"),
    [
        (Frame, "tandem/helmet/yard/frames", "tandem/helmet/gate/frames"),
        (Result, "tandem/helmet/yard/results", "tandem/helmet/gate/results"),
        (Stored, "tandem/helmet/yard/stored", "tandem/helmet/gate/stored"),
        (ReaderProgress, "tandem/helmet/yard/progress", "tandem/helmet/gate/progress"),
        (HardExample, "tandem/helmet/gate/hard/cloud-2", "tandem/helmet/gate/hard/cloud-1"),
        (WorkerState, "tandem/helmet/workers/cloud-2", "tandem/helmet/workers/cloud-1"),
    ],
)
def test_a_payload_that_names_another_stream_or_worker_is_refused(kind: type[Any], topic: str, belongs: str) -> None:
    assert refused(dataclasses.replace(PACKETS[kind], topic=topic)) == f"the payload belongs on {belongs}"


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(("kind", "field"), [(Result, '"latency_ms":45.125'), (WorkerState, '"service_ms":80.5')])
def test_numbers_that_are_none_are_refused_in_json(kind: type[Any], field: str, word: str) -> None:
    packet = PACKETS[kind]
    name, _, _ = field.partition(":")
    payload = packet.payload.replace(field.encode(), f"{name}:{word}".encode())
    assert payload != packet.payload
    refused(dataclasses.replace(packet, payload=payload))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Frame, "age_s"),
        (Frame, "media_s"),
        (Frame, "steps_ms.read"),
        (Detected, "confidence"),
        (Example, "verdict.score"),
        (Store, "result.latency_ms"),
        (HardExample, "expires_s"),
    ],
)
def test_numbers_that_are_none_are_refused_in_msgpack(kind: type[Any], path: str, value: float) -> None:
    assert refused(changed(kind, path, value)).startswith(f"{path}: ")


def f32(*values: float) -> bytes:
    return np.array(values, "<f4").tobytes()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("boxes", b"\0" * 31, "buffer size must be a multiple of element size"),
        ("boxes", b"\0" * 28, "cannot reshape array of size 7 into shape (4)"),
        ("boxes", b"\0" * 16, "boxes (1, 4), scores (2,) and labels (2,) do not match"),
        ("boxes", f32(*[float("nan")] * 8), "boxes and scores must be finite numbers"),
        ("boxes", "00000000", "detections.boxes: Input should be a valid bytes"),
        ("boxes", b"\0" * 160_016, "detections.boxes: Data should have at most 160000 bytes"),
        ("scores", f32(0.5), "boxes (2, 4), scores (1,) and labels (2,) do not match"),
        ("scores", f32(0.5, 1.5), "scores must lie in 0..1, not 0.5..1.5"),
        ("scores", f32(0.5, float("inf")), "boxes and scores must be finite numbers"),
        ("labels", b"\0" * 7, "buffer size must be a multiple of element size"),
        ("labels", np.array([0, 4], "<i4").tobytes(), "labels must be below 4, the number of class names"),
        ("labels", np.array([0, -1], "<i4").tobytes(), "labels must be below 4, the number of class names"),
        ("names", [], "labels must be below 0, the number of class names"),
        ("names", "person", "detections.names: Input should be a valid list"),
        ("names", ["person", 5], "detections.names.1: Input should be a valid string"),
        ("names", ["person\n"], "detections.names.0: String should match pattern"),
        ("names", ["x" * 257], "detections.names.0: String should have at most 256 characters"),
    ],
)
def test_packed_detections_that_do_not_fit_together_are_refused(field: str, value: object, reason: str) -> None:
    assert refused(changed(HardExample, f"detections.{field}", value)).startswith(reason)


@pytest.mark.parametrize("kind", [Result, CloudAnswer])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("xyxy", [1, 2, 3]),
        ("xyxy", [1, 2, 3, 4, 5]),
        ("xyxy", [1, 2, 3, "4"]),
        ("xyxy", [1, 2, 3, 1e300]),
        ("xyxy", [1, 2, 3, 10**400]),
        ("score", 1.01),
        ("score", -0.01),
        ("score", "0.5"),
        ("class", 5),
        ("class", "hel\nmet"),
        ("class_id", -1),
        ("class_id", 4096),
        ("class_id", 1.5),
        ("class_id", True),
    ],
)
def test_a_box_that_is_none_is_refused(kind: type[Any], field: str, value: object) -> None:
    reason = refused(changed(kind, f"boxes.1.{field}", value))
    assert f"boxes.1.{field}" in reason or "finite" in reason


@pytest.mark.parametrize("name", ["hel\nmet", "helmet\r", "\x1b[31mhelmet", "hel\x85met", "hel\u2028met", "\0"])
def test_a_class_name_that_would_break_a_line_is_refused(name: str) -> None:
    reason = refused(changed(CloudAnswer, "names", [*CLASSES[:3], name]))
    assert reason.startswith("names.3: String should match pattern")


def test_a_label_beyond_the_names_is_refused() -> None:
    assert "labels must be below 4" in refused(changed(CloudAnswer, "boxes.0.class_id", 4))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Frame, "jpeg"),
        (Detected, "frame.jpeg"),
        (Example, "detected.frame.jpeg"),
        (Store, "jpeg"),
        (HardExample, "jpeg"),
    ],
)
def test_a_picture_that_is_none_is_refused(kind: type[Any], path: str) -> None:
    jpeg = frame().image.jpeg
    start = jpeg.index(b"\xff\xc0") + 5
    bomb = jpeg[:start] + (60_000).to_bytes(2) * 2 + jpeg[start + 4 :]
    assert "are no JPEG" in refused(changed(kind, path, b"GIF89a"))
    assert "states no size: it is damaged or cut short" in refused(changed(kind, path, jpeg[:20]))
    assert "a JPEG of 60000x60000 pixels is outside" in refused(changed(kind, path, bomb))
    assert "valid bytes" in refused(changed(kind, path, "not bytes"))
    refused(changed(kind, path, b""))


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        (Frame, "seq", 0),
        (Frame, "seq", MAX_COUNT),
        (Frame, "captured_ns", 1 << 63),
        (Frame, "captured_ns", -1),
        (Frame, "age_s", -1.0),
        (Frame, "age_s", 1e300),
        (Frame, "counts.read", 2),
        (Frame, "counts.read", -1),
        (Frame, "stream", "Gate"),
        (Store, "result.upload_bytes", (1 << 64) - 1),
        (Store, "result.captured", "0001-01-01T00:00:00+23:00"),
        (Result, "captured", "2026-11-01 noon"),
        (Result, "captured", "2026-11-01T12:00:00"),
        (Result, "captured", "9999-11-01T12:00:00Z"),
        (Result, "captured", 1_790_000_000),
        (Result, "seq", 10**400),
        (Result, "latency_ms", 10**400),
        (Result, "revision", 3),
        (Result, "ending", "lost"),
        (CloudAnswer, "status", "asleep"),
        (Stored, "seq", 0),
        (Stored, "seq", "1"),
        (Stored, "seq", 10**400),
        (Stored, "revision", 10**30),
        (Stored, "files", {"all": 1}),
        (NotStored, "reason", None),
        (UplinkProgress, "recovered", [1, 10**30]),
        (UplinkProgress, "recovered", {"1": 1}),
        (ReaderProgress, "status", "asleep"),
        (ReaderProgress, "counts", {"read": 5, "skipped": 0, "dropped": 0, "admitted": 0}),
        (Resume, "done", [[1]]),
        (WorkerState, "gone", 1),
        (WorkerState, "queue", 1 << 63),
    ],
)
def test_values_that_make_no_sense_are_refused_by_field(kind: type[Any], path: str, value: object) -> None:
    reason = refused(changed(kind, path, value))
    assert path.rpartition(".")[2] in reason or "counts" in reason or "too large" in reason or "no name" in reason


WRONG: Final[tuple[Any, ...]] = (None, True, 5, -1, 1.5, "text", b"bytes", [], {}, [[]], {"a": 1})


def kind_of(value: object) -> object:
    """The JSON type of a value; whole numbers are numbers, bytes are their own."""
    return {bool: "bool", int: "number", float: "number"}.get(type(value), type(value))


def places(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every field of a payload, nested ones too, by its dotted path."""
    found: list[tuple[str, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        at = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            found.append((at, inner))
        found += places(inner, at)
    return found


def may_hold(packet: Packet, path: str, value: object, other: object) -> bool:
    """Whether a field that holds ``value`` may hold ``other``, or cannot be made to."""
    name = path.rpartition(".")[2]
    if isinstance(other, bytes) and packet.content_type is ContentType.JSON:
        return True
    if other is None:
        if path in {"gain.missed", "gain.corrected", "gain.recall"}:
            return True
        nullable = {"score", "threshold", "cloud", "worker", "ending", "duplicate_of", "budget"}
        return name in nullable or (packet, path) == (PACKETS[Store], "jpeg")
    return kind_of(other) == kind_of(value) or (value is None and isinstance(other, str))


def test_every_field_is_required() -> None:
    free_keys = (".steps_ms.", ".files.", ".tally.", ".gain.", ".frame.v", ".detected.v", ".result.v")
    # those of verdicts that are recalled have defaults
    free_keys += (".1.audited", ".1.duplicate_of", ".1.budget", ".1.memory")
    for packet in PACKETS.values():
        for path, _ in places(body_of(packet)):
            nothing = path.startswith("counts.") and packet.content_type is ContentType.JSON  # means 0
            if not nothing and not any(free in f".{path}" for free in free_keys):
                refused(without(packet, path))


def test_every_field_is_of_its_type() -> None:
    tried = 0
    for kind, packet in PACKETS.items():
        for path, value in places(body_of(packet)):
            for wrong in WRONG:
                if not may_hold(packet, path, value, wrong):
                    refused(changed(kind, path, wrong))
                    tried += 1
    assert tried > 1000


def without(packet: Packet, path: str) -> Packet:
    """The packet with one field left out."""
    body = body_of(packet)
    *parents, last = path.split(".")
    inner: Any = body
    for part in parents:
        inner = inner[int(part)] if part.isdecimal() else inner[part]
    del inner[last]
    return with_body(packet, body)


# Anything at all.

TOPICS: Final = tuple(packet.topic for packet in PACKETS.values())
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def harmless(topic: str, payload: bytes) -> None:
    """It is decoded, or refused as it should be; a message that came through can be sent on."""
    try:
        message = wire.decode(topic, payload, RECEIVED_S)
    except DecodeError as error:
        refusal = error
    else:
        assert wire.encode(SERVICE, message, RECEIVED_S).topic == topic
        return
    assert refusal.topic == topic
    assert refusal.reason


@every_type
def test_thousands_of_damaged_payloads_are_harmless(kind: type[Any]) -> None:
    packet, chance = PACKETS[kind], random.Random(kind.__name__)
    for _ in range(300):
        payload = bytearray(packet.payload)
        for _ in range(chance.randint(1, 4)):
            at, span = chance.randrange(len(payload)), chance.choice((0, 1, 1, 1, 4))
            payload[at : at + span] = chance.randbytes(chance.choice((0, 1, 1, 1, 4)))
        harmless(packet.topic, bytes(payload))
    for length in (*range(20), *[chance.randrange(4000) for _ in range(50)]):
        harmless(packet.topic, chance.randbytes(length))


@settings(max_examples=500)
@given(st.sampled_from(list(BUILDERS)), st.data(), junk)
def test_payloads_with_other_values_are_harmless(kind: type[Any], data: st.DataObject, value: object) -> None:
    path, _ = data.draw(st.sampled_from(places(body_of(PACKETS[kind]))))
    packet = PACKETS[kind]
    if packet.content_type is ContentType.JSON:
        value = json.loads(json.dumps(value, default=list))
    harmless(packet.topic, changed(kind, path, value).payload)


@settings(max_examples=200)
@given(st.sampled_from(TOPICS), st.dictionaries(st.text(max_size=6), junk, max_size=4))
def test_maps_of_anything_are_harmless(topic: str, body: dict[str, Any]) -> None:
    harmless(topic, msgpack.packb({"v": 1, **body}))
    harmless(topic, json.dumps({"v": 1, **body}, default=list).encode())


@pytest.mark.parametrize("topic", sorted(set(TOPICS)))
@pytest.mark.parametrize(
    "payload",
    [
        b'{"v":1,"a":' + b"[" * 100_000,
        b"\x81\xa1a" + b"\x91" * 100_000,
        b'{"v":1,"seq":' + b"9" * 10_000 + b"}",
        b'{"v":1,"a":"\\ud800"}',
        b'{"v":1,"v":2}',
        b"\x82\xa1v\x01\xc4\x01a\x01",
        b"\x82\xa1v\x01\xa1a\xd6\xff\x00\x00\x00\x00",
        b"\x82\xa1v\x01\xa1a\xc7\xff\x05" + bytes(255),
        b"\xdf\xff\xff\xff\xff",
        b"\xc1",
    ],
    ids=[
        "deep json",
        "deep msgpack",
        "large number",
        "half a character",
        "twice",
        "bytes as key",
        "date",
        "ext",
        "map",
        "none",
    ],
)
def test_what_breaks_parsers_is_refused(topic: str, payload: bytes) -> None:
    refused(Packet(topic, payload, ContentType.JSON))


def test_a_picture_that_cannot_be_encoded_cannot_be_sent() -> None:
    wide = Image(pixels=np.zeros((1, 70_000, 3), np.uint8))
    with pytest.raises(DropMessage, match="70000x1 pixels does not fit a JPEG"):
        wire.encode(SERVICE, frame(picture=wide), 0.0)


def test_what_does_not_fit_the_format_cannot_be_sent() -> None:
    seen = detections()
    many = Detections(seen.boxes, seen.scores, seen.labels, tuple(f"class{i}" for i in range(5000)))
    with pytest.raises(DropMessage, match="does not fit the wire format: names: "):
        wire.encode(SERVICE, dataclasses.replace(hard_example(), detections=many), 0.0)
    with pytest.raises(DropMessage, match=r"does not fit the wire format: .*surrogates"):
        wire.encode(SERVICE, Stored(FrameId("gate", 1), 1, True, {"all": "caf\udce9/1.jpeg"}), 0.0)


def test_every_kind_of_topic_is_tried_here() -> None:
    assert {ROUTES[kind].kind for kind in PACKETS} == set(Kind)
    assert set(JSON) | set(BINARY) == set(ROUTES)
    assert detections().names == CLASSES
    assert not_stored().reason
