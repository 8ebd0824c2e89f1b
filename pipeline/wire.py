"""Every message to bytes and back: JSON for what people read, msgpack for what carries pixels.

Each payload has ``v``, the version of the format; within a version fields are only added, and unknown ones are
ignored. Arrays travel packed (little-endian float32 and int32), pictures as the JPEG that they are.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgpack
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json, to_jsonable_python

from pipeline.errors import DecodeError, DropMessage
from pipeline.link import ContentType, Packet
from pipeline.messages import (
    CloudAnswer,
    Detected,
    Example,
    Frame,
    HardExample,
    MinerProgress,
    NotStored,
    ReaderProgress,
    Recalled,
    Result,
    Resume,
    StageState,
    State,
    Store,
    Stored,
    UplinkProgress,
    WireMessage,
    WorkerState,
)
from pipeline.model import MAX_COUNT
from pipeline.payloads.chain import DetectedPayload, ExamplePayload, FramePayload, StorePayload
from pipeline.payloads.cloud import CloudAnswerPayload, HardExamplePayload
from pipeline.payloads.parts import MAX_TEXT, Payload
from pipeline.payloads.results import ResultPayload
from pipeline.routes import GONE_EXPIRY_S, ROUTES, WORKER_EXPIRY_S, topic_of
from pipeline.topics import Kind, Topic, parse

VERSION: Final = 1
MAX_PAYLOAD_BYTES: Final = 64 << 20
"""Larger payloads are refused unread."""

MAX_JSON_BYTES: Final = 4 << 20
"""And so is larger JSON, which has no pictures: three bytes of it can become a list of 56 bytes in memory."""

MAX_CONTAINERS: Final = 256
"""Lists and maps in one msgpack payload, which can be a single byte each; what we send has about a dozen."""

MAX_EXPIRY_S: Final = 0xFFFFFFFF
"""The longest Message Expiry Interval (MQTT 5, 3.3.2.3.3)."""

_MAX_REASON: Final = 300
"""Errors may quote the payload; a log line takes so many characters of it."""
_MSGPACK_LIMITS: Final = {
    "max_str_len": 4 * MAX_TEXT,
    "max_bin_len": MAX_PAYLOAD_BYTES,
    "max_array_len": 4096,
    "max_map_len": 256,
    "max_ext_len": 0,
}

_WITH_PICTURE: Final[Mapping[Kind, type[Payload[Any]]]] = {
    Kind.FRAMES: FramePayload,
    Kind.DETECTED: DetectedPayload,
    Kind.EXAMPLES: ExamplePayload,
    Kind.STORE: StorePayload,
    Kind.HARD: HardExamplePayload,
}
_WITH_BOXES: Final[Mapping[Kind, type[Payload[Any]]]] = {
    Kind.CLOUD_RESULTS: CloudAnswerPayload,
    Kind.RESULTS: ResultPayload,
}
_PAYLOADS: Final[Mapping[type[Any], type[Payload[Any]]]] = {
    Frame: FramePayload,
    Detected: DetectedPayload,
    Example: ExamplePayload,
    Store: StorePayload,
    HardExample: HardExamplePayload,
    CloudAnswer: CloudAnswerPayload,
    Result: ResultPayload,
}
_PLAIN: Final[Mapping[type[Any], TypeAdapter[Any]]] = {
    plain: TypeAdapter(plain)
    for plain in (
        *(Stored, NotStored, ReaderProgress, UplinkProgress, MinerProgress, Resume, Recalled),
        *(State, WorkerState, StageState),
    )
}


def encode(service: str, message: WireMessage, now_s: float) -> Packet:
    """Make the packet that carries a message; ``now_s`` is this process's monotonic clock.

    Raises:
        DropMessage: it does not fit the format, as boxes of 5000 classes do not, and file names that are no UTF-8; or
            it is larger than what is taken at the other end.
    """
    route = ROUTES[type(message)]
    binary = route.kind in _WITH_PICTURE
    try:
        payload = _packed(message, now_s) if binary else to_json(_fields(message, now_s), inf_nan_mode="null")
    except ValueError as error:  # of pydantic and msgpack, both of which have their own kinds of it
        raise DropMessage(f"it does not fit the wire format: {_reason(error)}") from error
    if len(payload) > (limit_bytes := _limit_bytes(route.kind)):
        raise DropMessage(f"a payload of {len(payload)} bytes is larger than the {limit_bytes} taken")
    return Packet(
        topic=str(topic_of(service, message)),
        payload=payload,
        content_type=ContentType.MSGPACK if binary else ContentType.JSON,
        retain=route.retain,
        expiry_s=_expiry_s(message),
        keep=route.keep,
    )


def _packed(message: WireMessage, now_s: float) -> bytes:
    fields = _PAYLOADS[type(message)].of(message, now_s).model_dump(by_alias=True)
    return bytes(msgpack.packb(fields, default=to_jsonable_python))


def _fields(message: WireMessage, now_s: float) -> Payload[Any] | Mapping[str, Any]:
    kind = _PAYLOADS.get(type(message))
    return kind.of(message, now_s) if kind else {"v": VERSION, **_plain(message)}


def decode(topic: str, payload: bytes, now_s: float) -> WireMessage:
    """Read the message that came on ``topic``.

    Raises:
        DecodeError: the topic is none of ours, or the payload is malformed, cut short, too large, of another
            version, or names another stream than its topic.
    """
    parsed = parse(topic)
    if len(payload) > (limit_bytes := _limit_bytes(parsed.kind)):
        raise DecodeError(topic, f"a payload of {len(payload)} bytes is larger than the {limit_bytes} taken")
    try:
        message = _decode(parsed, payload, now_s)
    except (ValidationError, ValueError, DropMessage, msgpack.UnpackException) as error:
        raise DecodeError(topic, _reason(error)) from error
    if topic_of(parsed.service, message) != parsed:
        raise DecodeError(topic, f"the payload belongs on {topic_of(parsed.service, message)}")
    return message


def _limit_bytes(kind: Kind) -> int:
    return MAX_PAYLOAD_BYTES if kind in _WITH_PICTURE else MAX_JSON_BYTES


def _decode(topic: Topic, payload: bytes, now_s: float) -> WireMessage:
    if topic.kind in _WITH_PICTURE:
        body = _checked(_unpacked(payload))
        return _message(_WITH_PICTURE[topic.kind], body, now_s)
    body = _checked(from_json(payload, allow_inf_nan=False))
    if topic.kind in _WITH_BOXES:
        return _message(_WITH_BOXES[topic.kind], body, now_s)
    _whole_numbers_fit(body)
    text = to_json(_nested(body), inf_nan_mode="null")
    message: WireMessage = _PLAIN[_PLAIN_TYPE[topic.kind](body)].validate_json(text, strict=True)
    return message


def _unpacked(payload: bytes) -> object:
    left = MAX_CONTAINERS

    def counted(container: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"more than {MAX_CONTAINERS} lists and maps are too many")
        return container

    return msgpack.unpackb(payload, object_hook=counted, list_hook=counted, **_MSGPACK_LIMITS)


_PLAIN_TYPE: Final[Mapping[Kind, Callable[[Mapping[str, Any]], type[Any]]]] = {
    Kind.STORED: lambda body: Stored if "files" in body else NotStored,
    Kind.PROGRESS: lambda body: (
        ReaderProgress if "counts" in body else MinerProgress if "asks" in body else UplinkProgress
    ),
    Kind.RESUME: lambda _: Resume,
    Kind.RECALLED: lambda _: Recalled,
    Kind.STATE: lambda _: State,
    Kind.WORKERS: lambda _: WorkerState,
    Kind.STAGES: lambda _: StageState,
}


def _message(kind: type[Payload[Any]], body: Mapping[str, Any], now_s: float) -> WireMessage:
    message: WireMessage = kind.model_validate(body).message(now_s)
    return message


def _checked(body: object) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise ValueError(f"the payload is {type(body).__name__}, not a map of fields")  # noqa: TRY004 - data, not code
    version = body.get("v")
    if version != VERSION or isinstance(version, bool):
        raise ValueError(f"v is {reprlib.repr(version)}, but this version of Tandem reads {VERSION}")
    return body


def _whole_numbers_fit(value: object) -> None:
    """Counts and sequence numbers go into SQLite, which takes none beyond 64 bits."""
    if isinstance(value, int) and abs(value) >= MAX_COUNT:
        raise ValueError(f"a number of {value.bit_length()} bits is too large")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _whole_numbers_fit(inner)


def _plain(message: WireMessage) -> Mapping[str, Any]:
    body = _PLAIN[type(message)].dump_python(message)
    return {**body.pop("id", {}), **body}


def _nested(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**body, "id": {"stream": body.get("stream"), "seq": body.get("seq")}} if "seq" in body else body


def _expiry_s(message: WireMessage) -> int | None:
    if isinstance(message, HardExample):
        return min(max(1, round(message.expires_s)), MAX_EXPIRY_S)
    if isinstance(message, WorkerState):
        return WORKER_EXPIRY_S
    return GONE_EXPIRY_S if isinstance(message, StageState) and not message.online else None


def _reason(error: Exception) -> str:
    words = str(error) or type(error).__name__
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "payload"
        words = f"{place}: {first['msg'].removeprefix('Value error, ')}"
    return words[:_MAX_REASON]
