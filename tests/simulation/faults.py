"""Schedules of faults, drawn from a seed: what goes wrong, when, and for how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SERVICE: Final = "helmet"
STREAM: Final = "gate"

WORKER = "worker"
"""Workers are called ``worker-0``, ``worker-1`` and so on."""

CHAIN = ("reader", "detector", "miner", "uplink", "sink")
"""The processes of the edge where each stage has one of its own."""


class Shape(StrEnum):
    """What reads, and in how many processes the edge runs."""

    EDGE_GROUP = "edge-group"
    SPLIT = "split"
    CAMERA = "camera"
    CAMERA_SPLIT = "camera-split"

    @property
    def split(self) -> bool:
        """Whether every stage of the edge is a process of its own."""
        return self in {Shape.SPLIT, Shape.CAMERA_SPLIT}

    @property
    def live(self) -> bool:
        """Whether the source is a camera, which cannot be read again."""
        return self in {Shape.CAMERA, Shape.CAMERA_SPLIT}


class Fault(StrEnum):
    """What may go wrong."""

    LOSS = "loss"
    DOUBLING = "doubling"
    DELAY = "delay"
    CUT = "cut"
    LINK_BREAKS = "link-breaks"
    BROKER_GONE = "broker-gone"
    BROKER_WIPED = "broker-wiped"
    WORKER_DEATH = "worker-death"
    WORKER_LEAVES = "worker-leaves"
    WORKER_WEDGED = "worker-wedged"
    WORKER_STALLED = "worker-stalled"
    EDGE_DEATH = "edge-death"
    EDGE_WEDGED = "edge-wedged"
    CAMERA_LOST = "camera-lost"
    DISK_FULL = "disk-full"
    POISON = "poison"
    DAMAGED = "damaged"
    TOO_LARGE = "too-large"


OF_MESSAGES = (Fault.LOSS, Fault.DOUBLING, Fault.DELAY)
"""These go on until the calm; the delay is so different from message to message that they overtake each other."""

OF_FRAMES = (Fault.POISON, Fault.DAMAGED, Fault.TOO_LARGE)
"""These belong to single frames and never end: a worker dies of it, it answers with an error, no packet holds it."""

LEAST_KINDS: Final = 3
"""A schedule has at least so many kinds of faults."""


@dataclass(frozen=True)
class Event:
    """A fault of a process: it begins at ``at_s`` and lasts ``for_s``."""

    at_s: float
    fault: Fault
    process: str
    for_s: float


@dataclass(frozen=True)
class Schedule:
    """One simulated run. The same seed draws the same one.

    Attributes:
        shape: what reads, and in which processes.
        frames: how many are sampled.
        every: how many source frames there are for each of them.
        fps: how many sampled frames come a second.
        audit_share: what part of the easy frames is sent too.
        durable: whether the outbox survives its process.
        loss: the probability that a message is lost.
        doubling: that it comes twice.
        delay_s: how long a message may take at most.
        calm_s: from then on nothing goes wrong any more, but for poison frames.
    """

    seed: int
    shape: Shape
    frames: int
    every: int
    fps: float
    hard_ratio: float
    audit_share: float
    window: int
    backlog: int
    workers: int
    slots: int
    queue: int
    service_s: float
    expires_s: float
    budget_bytes: int
    durable: bool
    loss: float
    doubling: float
    delay_s: float
    calm_s: float
    events: tuple[Event, ...]
    bad: dict[int, Fault]

    @property
    def kinds(self) -> frozenset[Fault]:
        """The faults that it has."""
        of_messages = {Fault.LOSS: self.loss, Fault.DOUBLING: self.doubling, Fault.DELAY: self.delay_s > 0.1}
        found = [fault for fault, there in of_messages.items() if there]
        return frozenset((*found, *(event.fault for event in self.events), *self.bad.values()))

    @classmethod
    def of(cls, seed: int, shape: Shape, kinds: tuple[Fault, ...] = tuple(Fault)) -> Schedule:
        """Draw a schedule with at least ``LEAST_KINDS`` of these kinds of faults, as far as there are so many."""
        draw = random.Random(f"schedule/{seed}/{shape}")
        split = shape.split
        there = [kind for kind in kinds if shape.live or kind is not Fault.CAMERA_LOST]
        least, most = min(LEAST_KINDS + 1, len(there)), min(8, len(there))
        chosen = set(draw.sample(there, draw.randint(least, most)))
        frames, every, fps = draw.randint(30, 40), draw.choice((1, 3)), draw.choice((1.0, 2.0, 5.0, 20.0))
        calm_s = frames / fps + draw.uniform(5, 20)
        workers = draw.choice((1, 1, 2, 3))
        durable = split or draw.random() < 0.5
        names = [f"{WORKER}-{i}" for i in range(workers)]
        events: list[Event] = []
        for fault in sorted(chosen.difference(OF_MESSAGES, OF_FRAMES)):
            often = draw.randint(2, 5) if split and fault is Fault.EDGE_DEATH else draw.randint(1, 3)
            events += [_event(fault, draw, calm_s, names, split=split) for _ in range(often)]
        bad: dict[int, Fault] = {}
        for fault in sorted(chosen.intersection(OF_FRAMES)):
            bad.update({1 + every * draw.randrange(frames): fault for _ in range(draw.randint(1, 2))})
        return cls(
            seed=seed,
            shape=shape,
            frames=frames,
            every=every,
            fps=fps,
            hard_ratio=draw.choice((0.2, 0.5, 0.8, 1.0)),
            # Its own draw: the others of a seed are what they were.
            audit_share=random.Random(f"audit/{seed}/{shape}").choice((0.0, 0.1, 0.5)),
            window=draw.choice((2, 8)),
            backlog=draw.choice((6, 64)),
            workers=workers,
            slots=draw.choice((1, 4)),
            queue=draw.choice((1, 2, 16)),
            service_s=draw.choice((0.02, 0.3, 1.5)),
            expires_s=draw.choice((8.0, 60.0, 60.0)),
            budget_bytes=draw.choice((2_500, 1 << 20, 1 << 20)),
            durable=durable,
            loss=draw.choice((0.02, 0.1, 0.3)) if Fault.LOSS in chosen else 0.0,
            doubling=draw.choice((0.05, 0.3)) if Fault.DOUBLING in chosen else 0.0,
            delay_s=draw.choice((0.5, 3.0, 12.0)) if Fault.DELAY in chosen else 0.02,
            calm_s=calm_s,
            events=tuple(sorted(events, key=lambda event: event.at_s)),
            bad=bad,
        )


def _event(fault: Fault, draw: random.Random, calm_s: float, workers: list[str], *, split: bool) -> Event:
    for_s = draw.choice((0.2, 3.0, 8.0, 20.0))
    edge = draw.choice(CHAIN) if split else "edge"
    process = draw.choice(workers)
    if fault in {Fault.EDGE_DEATH, Fault.EDGE_WEDGED}:
        process = edge
    elif fault in {Fault.CUT, Fault.LINK_BREAKS}:
        process = draw.choice((process, edge))
    elif fault in _ELSEWHERE:
        process = _ELSEWHERE[fault]
    elif fault is Fault.WORKER_STALLED:
        for_s = draw.choice((5.0, 80.0))
    return Event(draw.uniform(0.0, calm_s), fault, process, for_s)


_ELSEWHERE: Final = {
    Fault.BROKER_GONE: "broker",
    Fault.BROKER_WIPED: "broker",
    Fault.CAMERA_LOST: "camera",
    Fault.DISK_FULL: "disk",
}
