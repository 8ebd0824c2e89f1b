"""Every topic of Tandem, built and parsed in this one place.

``tandem/{service}/{stream}/{kind}`` for what belongs to a stream, ``tandem/{service}/workers/{worker}`` and
``tandem/{service}/stages/{process}`` for who is there. Every topic flows one way, so bridges cannot loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from pipeline.errors import DecodeError
from pipeline.model import stream_name

ROOT: Final = "tandem"


class Kind(StrEnum):
    """What a topic carries: the part of its name behind the stream."""

    FRAMES = "frames"
    DETECTED = "detected"
    EXAMPLES = "examples"
    STORE = "store"
    HARD = "hard"
    CLOUD_RESULTS = "results/cloud"
    RESULTS = "results"
    STORED = "stored"
    PROGRESS = "progress"
    RESUME = "resume"
    RECALLED = "recalled"
    STATE = "state"
    WORKERS = "workers"
    STAGES = "stages"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, or a filter where ``stream`` or ``name`` is ``+``.

    Attributes:
        service: the joint inference service, a namespace of topics.
        kind: what it carries.
        stream: the stream it belongs to; empty for workers and stages.
        name: the worker of ``hard`` and ``workers``, the process of ``stages``; else empty.
    """

    service: str
    kind: Kind
    stream: str = ""
    name: str = ""

    def __str__(self) -> str:
        if self.kind in (Kind.WORKERS, Kind.STAGES):
            return f"{ROOT}/{self.service}/{self.kind}/{self.name}"
        tail = f"/{self.name}" if self.kind is Kind.HARD else ""
        return f"{ROOT}/{self.service}/{self.stream}/{self.kind}{tail}"


def parse(topic: str) -> Topic:
    """Take a topic's name apart.

    Raises:
        DecodeError: it is none of Tandem's.
    """
    try:
        return _parse(topic)
    except ValueError as error:
        raise DecodeError(topic, f"is no topic of Tandem: {error}") from error


@lru_cache(maxsize=1024)  # the same few come again and again
def _parse(topic: str) -> Topic:
    root, _, rest = topic.partition("/")
    service, _, rest = rest.partition("/")
    first, _, rest = rest.partition("/")
    if root != ROOT:
        raise ValueError(f"it begins with {root!r}, not {ROOT!r}")
    stream_name(service)
    if first in (Kind.WORKERS, Kind.STAGES):
        return Topic(service, Kind(first), name=stream_name(rest))
    stream = stream_name(first)
    if rest.startswith(f"{Kind.HARD}/"):
        return Topic(service, Kind.HARD, stream, stream_name(rest.removeprefix(f"{Kind.HARD}/")))
    kind = Kind(rest)
    if kind in (Kind.HARD, Kind.WORKERS, Kind.STAGES):
        raise ValueError(f"{kind} wants a name behind it")
    return Topic(service, kind, stream)
