"""Real uplinks and real worker processes over a real Mosquitto, for tests and for ``scripts/bench-workers``."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self, TypeVar

from broker.address import BrokerAddress
from broker.mosquitto import PrivateMosquitto
from broker.mqtt import MqttLink
from pipeline import wire
from pipeline.image import Image
from pipeline.link import LinkEvents
from pipeline.messages import Example, HardExample, Message, Result, Store, Stored, WorkerState
from pipeline.model import Ending, FrameId
from pipeline.runner import Runner
from pipeline.stage import Stage, StageName
from stages.outbox import MemoryOutbox
from stages.uplink import Uplink
from tests import examples
from tests.integration.simulated_worker import SERVICE

M = TypeVar("M", bound=Message)
ROOT: Final = Path(__file__).parent.parent.parent
PATIENCE_S: Final = 60.0
BACKLOG: Final = 64
"""As ``reader.backlog``."""

PICTURE: Final = Image(pixels=examples.pixels(320, 240)).encoded_only()


class WorkerProcess:
    """A simulated worker in a process of its own; a context manager that ends it."""

    def __init__(self, port: int, name: str, service_ms: float, slots: int = 4) -> None:
        """Start it at the broker on ``port``."""
        command = [sys.executable, "-m", "tests.integration.simulated_worker", str(port), name]
        self.name = name
        self._process = subprocess.Popen([*command, str(service_ms), str(slots)], cwd=ROOT, stdin=subprocess.PIPE)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


@dataclass(frozen=True, slots=True)
class Step:
    """One message that a stage handled, and what followed."""

    at_s: float
    message: Message
    follows: Sequence[Message]


class Recorded:
    """A stage whose every step is kept."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.steps: list[Step] = []

    def process(self, message: Message) -> Iterable[Message]:
        """As the stage does."""
        follows = list(self._stage.process(message))
        self.steps.append(Step(time.monotonic(), message, follows))
        return follows

    @property
    def wakes_at_s(self) -> float:
        """As the stage says."""
        return self._stage.wakes_at_s

    @property
    def drained(self) -> bool:
        """As the stage says."""
        return self._stage.drained


@dataclass(slots=True)
class Disk:
    """A sink that stores at once, and keeps the final results with their time."""

    ended: dict[FrameId, tuple[float, Result]] = field(default_factory=dict)
    news: threading.Condition = field(default_factory=threading.Condition)
    wakes_at_s: float = float("inf")
    drained: bool = True

    def process(self, message: Message) -> Iterable[Message]:
        """Answer a revision, pass over all else."""
        if not isinstance(message, Store):
            return
        result = message.result
        if result.final:
            with self.news:
                self.ended.setdefault(result.id, (time.monotonic(), result))
                self.news.notify_all()
        yield Stored(result.id, result.revision, result.final, {})


class UplinkProcess:
    """A real uplink on a link of its own; a context manager."""

    def __init__(self, port: int, name: str, seed: int = 0) -> None:
        incarnation = secrets.token_hex(4)
        self.name = name
        self.disk = Disk()
        self.uplink = Recorded(Uplink(name, incarnation, MemoryOutbox(), time.monotonic, streams=(name,), seed=seed))
        self._link = MqttLink(BrokerAddress("127.0.0.1", port), f"{name}-{incarnation}", backoff_s=(0.1, 0.5))
        stages = (StageName.UPLINK, StageName.SINK)
        state = replace(examples.stage_state(name, streams=(name,)), incarnation=incarnation, stages=stages)
        self._runner = Runner(SERVICE, state, self._link)
        self._runner.add(StageName.UPLINK, self.uplink)
        self._runner.add(StageName.SINK, self.disk)
        self._fed = 0

    def __enter__(self) -> Self:
        self._runner.start()
        assert self._link.wait_connected(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.drain(0.5)
        assert self._runner.failure is None

    def feed(self, frames: int, backlog: int = BACKLOG) -> None:
        """Give it so many hard frames, as a reader does: at most ``backlog`` of them are open at a time."""
        for _ in range(frames):
            with self.disk.news:
                assert self.disk.news.wait_for(lambda: self._fed - len(self.disk.ended) < backlog, PATIENCE_S)
            self._fed += 1
            self._runner.deliver(StageName.UPLINK, hard_frame(self.name, self._fed))

    def finish(self, timeout_s: float = PATIENCE_S) -> list[Result]:
        """Wait for the end of every frame; how they ended, in the order in which they did."""
        with self.disk.news:
            assert self.disk.news.wait_for(lambda: len(self.disk.ended) == self._fed, timeout_s), (
                f"{len(self.disk.ended)} of {self._fed} frames have ended"
            )
            return [result for _, result in self.disk.ended.values()]

    def await_workers(self, names: Iterable[str]) -> None:
        """Wait until it knows these workers."""
        wanted = set(names)
        wait_until(lambda: wanted <= {state.worker for _, state in self.heard(WorkerState)})

    def heard(self, kind: type[M]) -> list[tuple[float, M]]:
        """Every message of a kind that it took, and when."""
        return [(step.at_s, step.message) for step in list(self.uplink.steps) if isinstance(step.message, kind)]

    def offers(self) -> Iterator[tuple[float, HardExample]]:
        """Every offer and its time."""
        for step in list(self.uplink.steps):
            for message in step.follows:
                if isinstance(message, HardExample):
                    yield step.at_s, message


class Observer:
    """Somebody else on the broker, who hears everything and when; a context manager."""

    def __init__(self, port: int) -> None:
        self._heard: list[tuple[float, Message]] = []
        self._link = MqttLink(BrokerAddress("127.0.0.1", port), f"observer-{secrets.token_hex(4)}")

    def __enter__(self) -> Self:
        self._link.start([f"tandem/{SERVICE}/#"], LinkEvents(self._received, lambda: None, lambda _: None))
        assert self._link.wait_connected(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._link.stop(0.0)

    def heard(self, kind: type[M]) -> list[tuple[float, M]]:
        """Every message of a kind, and when it came."""
        return [(at_s, message) for at_s, message in list(self._heard) if isinstance(message, kind)]

    def _received(self, topic: str, payload: bytes) -> None:
        at_s = time.monotonic()
        self._heard.append((at_s, wire.decode(topic, payload, at_s)))


def wait_until(what: Callable[[], object]) -> None:
    """Ask until it is so."""
    until_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until_s, "it did not come about in time"
        time.sleep(0.005)


def hard_frame(stream: str, seq: int) -> Example:
    """A hard frame that is captured now."""
    frame = replace(examples.frame(seq, stream=stream, picture=PICTURE), born_s=time.monotonic())
    return examples.example(examples.detected(frame))


@contextmanager
def workers(port: int, services_ms: Sequence[float]) -> Iterator[list[WorkerProcess]]:
    """Workers ``w1`` and so on with these service times."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(WorkerProcess(port, f"w{number}", service_ms))
            for number, service_ms in enumerate(services_ms, 1)
        ]


@dataclass(frozen=True, slots=True)
class Shared:
    """What several workers did with the frames of one uplink.

    Attributes:
        took_s: from the first frame to the last end.
        ideal_s: what it would take if every worker worked all the time, by the service times they measured.
        by_worker: how many frames each answered.
        per_s: frames a second once all of them have work.
    """

    took_s: float
    ideal_s: float
    by_worker: dict[str, int]
    per_s: float

    @property
    def ratio(self) -> float:
        """How much longer it took than it would ideally."""
        return self.took_s / self.ideal_s


def shared(services_ms: Sequence[float], frames: int) -> Shared:
    """Let workers with these service times share ``frames`` frames of one uplink, over a broker of their own."""
    names = [f"w{number}" for number in range(1, len(services_ms) + 1)]
    with PrivateMosquitto() as broker, workers(broker.port, services_ms), UplinkProcess(broker.port, "gate") as uplink:
        uplink.await_workers(names)
        begun_s = time.monotonic()
        uplink.feed(frames)
        results = uplink.finish()
        times_s = [at_s for at_s, _ in uplink.disk.ended.values()]
    took_ms = {name: [r.steps_ms["cloud_detect"] for r in results if r.worker == name] for name in names}
    rate = sum(1e3 * len(each) / sum(each) for each in took_ms.values() if each)
    warm = 5 * len(names)
    return Shared(
        took_s=times_s[-1] - begun_s,
        ideal_s=frames / rate,
        by_worker={name: len(each) for name, each in took_ms.items()},
        per_s=(frames - warm) / (times_s[-1] - times_s[warm - 1]),
    )


@dataclass(frozen=True, slots=True)
class Crowd:
    """What one worker did for many uplinks.

    Attributes:
        first_s: when each uplink had its first answer, from the first frame on, in order.
        round_s: how long the worker takes for one frame of each.
        most_queued: the most frames that the worker said it held.
        asked: how often a frame was sent to it, for each that it answered.
        least_at_half: how many answers the uplink with the fewest had when half of all were given.
    """

    first_s: list[float]
    round_s: float
    most_queued: int
    asked: float
    least_at_half: int


def crowd(uplinks: int, service_ms: float, frames: int) -> Crowd:
    """Let many uplinks with ``frames`` frames each share one worker."""
    with PrivateMosquitto() as broker, WorkerProcess(broker.port, "w1", service_ms), ExitStack() as stack:
        all_of_them = [
            stack.enter_context(UplinkProcess(broker.port, f"u{number}", number)) for number in range(uplinks)
        ]
        for uplink in all_of_them:
            uplink.await_workers(["w1"])
        begun_s = time.monotonic()
        for uplink in all_of_them:
            uplink.feed(frames)
        for uplink in all_of_them:
            assert {result.ending for result in uplink.finish()} == {Ending.CLOUD}
        ends = sorted((at_s, uplink.name) for uplink in all_of_them for at_s, _ in uplink.disk.ended.values())
        offers = sum(1 for uplink in all_of_them for _ in uplink.offers())
        queued = [state.queue for _, state in all_of_them[0].heard(WorkerState)]
    at_half = Counter(name for _, name in ends[: len(ends) // 2])
    first_s = {name: at_s - begun_s for at_s, name in reversed(ends)}
    return Crowd(
        first_s=sorted(first_s.values()),
        round_s=uplinks * service_ms / 1e3,
        most_queued=max(queued),
        asked=offers / len(ends),
        least_at_half=min(at_half[uplink.name] for uplink in all_of_them),
    )
