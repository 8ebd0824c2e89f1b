"""Real uplinks and real worker processes over a real Mosquitto, for tests and for ``scripts/bench-workers``."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from broker.address import BrokerAddress
from broker.mqtt import MqttLink
from pipeline.image import Image
from pipeline.messages import Example, HardExample, Message, Result, StageState, Store, Stored
from pipeline.model import FrameId
from pipeline.runner import Runner
from pipeline.stage import Stage, StageName
from stages.outbox import MemoryOutbox
from stages.uplink import Uplink
from tests import examples
from tests.integration.simulated_worker import SERVICE

ROOT: Final = Path(__file__).parent.parent.parent
PATIENCE_S: Final = 60.0
BACKLOG: Final = 64
"""As ``reader.backlog``."""

PICTURE: Final = Image(pixels=examples.pixels(320, 240)).encoded_only()


class WorkerProcess:
    """A simulated worker in a process of its own; a context manager."""

    def __init__(self, port: int, name: str, service_ms: float, *prefix: str) -> None:
        """Start it at the broker on ``port``; ``prefix`` is put before its command line."""
        command = [*prefix, sys.executable, "-m", "tests.integration.simulated_worker", str(port), name]
        self.name = name
        self._process = subprocess.Popen([*command, str(service_ms)], cwd=ROOT, stdin=subprocess.PIPE)

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
        state = StageState(name, incarnation, (StageName.UPLINK, StageName.SINK), (name,), (), online=True)
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

    def await_ended(self, frames: int, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many frames have ended."""
        with self.disk.news:
            assert self.disk.news.wait_for(lambda: len(self.disk.ended) >= frames, timeout_s)

    def await_workers(self, names: Iterable[str]) -> None:
        """Wait until it knows these workers."""
        wanted, until_s = set(names), time.monotonic() + PATIENCE_S
        while not wanted <= {getattr(step.message, "worker", None) for step in list(self.uplink.steps)}:
            assert time.monotonic() < until_s, f"not all of {wanted} have announced themselves"
            time.sleep(0.01)

    def offers(self) -> Iterator[tuple[float, HardExample]]:
        """Every offer and its time."""
        for step in list(self.uplink.steps):
            for message in step.follows:
                if isinstance(message, HardExample):
                    yield step.at_s, message


def hard_frame(stream: str, seq: int) -> Example:
    """A hard frame that is captured now."""
    frame = replace(examples.frame(seq, stream=stream, picture=PICTURE), born_s=time.monotonic())
    return examples.example(examples.detected(frame))


@contextmanager
def workers(port: int, services_ms: Sequence[float]) -> Iterator[list[WorkerProcess]]:
    """Workers ``w1`` and so on with these service times."""
    started: list[WorkerProcess] = []
    try:
        for number, service_ms in enumerate(services_ms, 1):
            started.append(WorkerProcess(port, f"w{number}", service_ms))
        yield started
    finally:
        for worker in started:
            worker.__exit__()


@dataclass(frozen=True, slots=True)
class Shared:
    """What several workers did with the frames of one uplink.

    Attributes:
        took_s: from the first offer to the last end.
        ideal_s: what it would take if every worker worked all the time, by the service times they measured.
        by_worker: how many frames each answered.
    """

    took_s: float
    ideal_s: float
    by_worker: dict[str, int]
    from_first_s: float
    per_s: float


def shared(port: int, services_ms: Sequence[float], frames: int) -> Shared:
    """Let workers with these service times share ``frames`` frames of one uplink."""
    names = [f"w{number}" for number in range(1, len(services_ms) + 1)]
    with workers(port, services_ms), UplinkProcess(port, "gate") as uplink:
        uplink.await_workers(names)
        begun_s = time.monotonic()
        uplink.feed(frames)
        results = uplink.finish()
        times_s = [at_s for at_s, _ in uplink.disk.ended.values()]
    took_ms: dict[str, list[float]] = {}
    for result in results:
        took_ms.setdefault(result.worker or "", []).append(result.steps_ms["cloud_detect"])
    rate = sum(1e3 * len(each) / sum(each) for each in took_ms.values())
    return Shared(
        times_s[-1] - begun_s,
        frames / rate,
        {name: len(each) for name, each in sorted(took_ms.items())},
        times_s[-1] - times_s[0],
        (frames - 1) / (times_s[-1] - times_s[0]),
    )
