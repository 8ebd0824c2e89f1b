"""Which message goes where: from which stage, to which stages, on which topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

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
from pipeline.stage import StageName
from pipeline.topics import Kind, Topic

EDGE_STAGES: Final = (StageName.READER, StageName.DETECTOR, StageName.MINER, StageName.UPLINK)
"""The stages that may end a frame: the uplink by its decision, the others where a frame cannot go on."""

WORKER_EXPIRY_S: Final = 6
"""How long a worker's announcement holds: three of its intervals."""


GONE_EXPIRY_S: Final = 86_400
"""So long the broker remembers that a process is gone."""


@dataclass(frozen=True, slots=True)
class Route:
    """How one type of message travels.

    Attributes:
        kind: the topic it travels on between processes.
        senders: the stages that send it; none of them where the process itself does.
        takers: the stages that take it.
        public: it is published even where every taker is in this process.
        retain: the broker keeps the last one.
        keep: it waits while the broker is away, since nobody sends it again.
        foreign: it comes from other processes too, even where all its senders are in this one.
    """

    kind: Kind
    senders: tuple[StageName, ...] = ()
    takers: tuple[StageName, ...] = ()
    public: bool = False
    retain: bool = False
    keep: bool = False
    foreign: bool = False


ROUTES: Final[Mapping[type[Any], Route]] = {
    Frame: Route(Kind.FRAMES, (StageName.READER,), (StageName.DETECTOR,)),
    Detected: Route(Kind.DETECTED, (StageName.DETECTOR,), (StageName.MINER,)),
    Example: Route(Kind.EXAMPLES, (StageName.MINER,), (StageName.UPLINK,)),
    Store: Route(Kind.STORE, EDGE_STAGES, (StageName.SINK,)),
    HardExample: Route(Kind.HARD, (StageName.UPLINK,), (StageName.CLOUD,), foreign=True),
    CloudAnswer: Route(Kind.CLOUD_RESULTS, (StageName.CLOUD,), (StageName.UPLINK,), foreign=True),
    Result: Route(Kind.RESULTS, EDGE_STAGES, public=True, keep=True),
    Stored: Route(Kind.STORED, (StageName.SINK,), (StageName.READER, StageName.UPLINK), public=True),
    NotStored: Route(Kind.STORED, (StageName.SINK,), (StageName.READER, StageName.UPLINK), public=True),
    ReaderProgress: Route(Kind.PROGRESS, (StageName.READER,), (StageName.SINK,), keep=True),
    UplinkProgress: Route(Kind.PROGRESS, (StageName.UPLINK,), (StageName.SINK,), keep=True),
    MinerProgress: Route(Kind.PROGRESS, (StageName.MINER,), (StageName.SINK,)),
    Resume: Route(Kind.RESUME, (StageName.SINK,), (StageName.READER,)),
    Recalled: Route(Kind.RECALLED, (StageName.SINK,), (StageName.MINER,)),
    State: Route(Kind.STATE, (StageName.SINK,), public=True, retain=True),
    WorkerState: Route(Kind.WORKERS, (StageName.CLOUD,), (StageName.UPLINK,), public=True, retain=True, foreign=True),
    StageState: Route(Kind.STAGES, takers=(StageName.UPLINK,), public=True, retain=True, foreign=True),
}

_STREAM: Final[Mapping[type[Any], Callable[[Any], str]]] = {
    **dict.fromkeys(
        (ReaderProgress, UplinkProgress, MinerProgress, Resume, Recalled, State), lambda message: message.stream
    ),
    **dict.fromkeys((WorkerState, StageState), lambda _: ""),
}


def stream_of(message: WireMessage) -> str:
    """The stream that a message belongs to, or empty."""
    of = _STREAM.get(type(message))
    return of(message) if of else message.id.stream  # type: ignore[union-attr]


def topic_of(service: str, message: WireMessage) -> Topic:
    """The topic that a message travels on."""
    name = ""
    if isinstance(message, HardExample | WorkerState):
        name = message.worker
    elif isinstance(message, StageState):
        name = message.process
    return Topic(service, ROUTES[type(message)].kind, stream_of(message), name)


def filters(service: str, stages: frozenset[StageName], streams: tuple[str, ...], worker: str) -> tuple[str, ...]:
    """The topics that a process with these stages and streams must subscribe to, each once.

    What comes from a stage of this same process alone stays off the broker.
    """
    wanted: dict[str, None] = {}
    for route in ROUTES.values():
        if not stages.intersection(route.takers) or (stages.issuperset(route.senders) and not route.foreign):
            continue
        if route.kind in (Kind.WORKERS, Kind.STAGES):
            wanted[str(Topic(service, route.kind, name="+"))] = None
        elif route.kind is Kind.HARD:
            wanted[str(Topic(service, route.kind, "+", worker))] = None
        else:
            wanted.update({str(Topic(service, route.kind, stream)): None for stream in streams})
    return tuple(wanted)
