"""Ten thousand messages that should not be there end no process, fill no memory, and leave what comes next whole."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings

from broker.memory import MemoryBroker
from pipeline import wire
from pipeline.app.compose import Names, _Parts
from pipeline.config import Config
from pipeline.errors import DropMessage
from pipeline.image import Image
from pipeline.link import LinkEvents, Packet
from pipeline.messages import SourceStatus, StageState, State, WorkerState
from pipeline.model import Detections
from pipeline.runner import Runner
from pipeline.stage import Stage, StageName
from stages.cloud import ANSWERS_KEPT, Cloud
from stages.reader import Reader
from stages.sink import COMMIT_AT, Sink
from stages.uplink import ENDED_KEPT, Uplink
from stages.workers import GONE_KEPT
from tests.examples import SERVICE, pixels, worker_state
from tests.integration.damage import DAMAGES, FALSE_WORKERS, REAL_WORKER, STREAM, packets

MESSAGES: Final = 10_000
FRAMES: Final = 12
BUDGET_BYTES: Final = 40_000
AFTER: Final = "yard"
"""The stream that is read when all is over."""

LATEST_S: Final = 60.0


class Bright:
    """A model that sees one box in every picture that can be decoded, when it may."""

    model = "bright"
    provider = "CPU"

    def __init__(self, may: threading.Event) -> None:
        self._may = may

    def detect(self, image: Image) -> Detections:
        assert self._may.wait(LATEST_S)
        score = np.array([image.pixels.mean() / 256], np.float32)
        return Detections(np.array([[0, 0, 1, 1]], np.float32), score, np.zeros(1, np.int32), ("person",))


class Plant:
    """Every stage as ``tandem run`` makes it, each in a process of its own, so that every topic has a subscriber."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.broker = stack.enter_context(MemoryBroker())
        self.running, self.ended = threading.Event(), threading.Event()
        self.works, self.always = threading.Event(), threading.Event()
        self.always.set()
        self.state: State | None = None
        self.runners: dict[str, Runner] = {}
        self.config = _config(folder)
        self.link = self.broker.link("anybody")
        self.link.start([f"tandem/{SERVICE}/+/state"], LinkEvents(self._heard, lambda: None, lambda _: None))
        self._stack = stack
        for name in StageName:
            self.start(name, (STREAM, AFTER) if name is not StageName.READER else (STREAM,))

    def start(self, name: StageName, streams: tuple[str, ...]) -> None:
        """Start the process of one stage."""
        process = f"{name}-{streams[0]}"
        names = Names(process, f"incarnation-of-{process}", REAL_WORKER)
        state = StageState(process, names.incarnation, (name,), streams, (), online=True, unsent=0, refused=0)
        worker = REAL_WORKER if name is StageName.CLOUD else ""
        runner = Runner(SERVICE, state, self.broker.link(process), worker=worker)
        parts = _Parts(self.config, names, self._stack)
        self.runners[process] = runner
        runner.add(name, self._stage(parts, name, runner, streams[0]), streams[0] if name is StageName.READER else "")
        runner.start()
        self._stack.callback(runner.abandon)
        self._stack.callback(self.works.set)

    def stages(self) -> Iterator[Stage]:
        """All that are hosted."""
        for runner in self.runners.values():
            for host in runner._hosts:
                yield host.stage

    def blow(self) -> None:
        """Let everything be handled, at first without the worker's model, so that what waits for it is there to see."""
        self.settle()
        self.check()
        self.works.set()
        self.settle()
        self.check()
        self.works.clear()

    def settle(self) -> None:
        """Wait until no message waits anywhere."""
        until_s = time.monotonic() + LATEST_S
        self.broker.settle()
        while any(not host.inbox.empty() for runner in self.runners.values() for host in runner._hosts):
            self._alive()
            assert time.monotonic() < until_s, f"messages are not handled: {self._waiting()}"
            self.ended.wait(0.001)
        self.broker.settle()

    def check(self) -> None:
        """Nobody has died, and nobody holds more than the windows allow."""
        self._alive()
        for stage in self.stages():
            _check_bounds(stage, self.config)

    def _waiting(self) -> dict[str, int]:
        return {name: host.inbox.qsize() for name, runner in self.runners.items() for host in runner._hosts}

    def _alive(self) -> None:
        for name, runner in self.runners.items():
            if runner.failure is not None:
                raise AssertionError(f"{name} has failed: {runner.failure!r}") from runner.failure
            assert all(host.thread and host.thread.is_alive() for host in runner._hosts), f"{name} does not run"

    def _stage(self, parts: _Parts, name: StageName, runner: Runner, stream: str) -> Stage:
        match name:
            case StageName.READER:
                return parts.reader(stream)
            case StageName.DETECTOR:
                return parts.detector_stage(Bright(self.always))
            case StageName.MINER:
                return parts.miner(None)
            case StageName.UPLINK:
                return parts.uplink()
            case StageName.CLOUD:
                return parts.cloud(Bright(self.works), runner)
            case StageName.SINK:
                return parts.sink()

    def _heard(self, topic: str, payload: bytes) -> None:
        try:
            state = wire.decode(topic, payload, 0.0)
        except DropMessage:
            return
        assert isinstance(state, State)
        if state.stream == STREAM and state.status is not SourceStatus.OPENING:
            self.running.set()
        if state.stream == AFTER and state.status is SourceStatus.ENDED and not state.tally.pending:
            self.state = state
            self.ended.set()


def _config(folder: Path) -> Config:
    for stream in (STREAM, AFTER):
        (folder / stream).mkdir()
        for seq in range(1, FRAMES + 1):
            cv2.imwrite(str(folder / stream / f"{seq:03}.png"), pixels(seed=seq))
    streams = {stream: {"source": str(folder / stream), "every": 1} for stream in (STREAM, AFTER)}
    return Config.model_validate(
        {
            "service": SERVICE,
            "streams": streams,
            "sink": {"out": str(folder / "out")},
            "outbox": {"budget": BUDGET_BYTES},
            "miner": {"name": "CloudOnly"},
        }
    )


def _check_bounds(stage: Stage, config: Config) -> None:
    match stage:
        case Reader():
            assert len(stage._unconfirmed) <= config.reader.window
        case Uplink():
            assert len(stage._ended) <= ENDED_KEPT
            assert len(stage._workers._gone) <= GONE_KEPT
            assert stage._undecided.size_bytes <= BUDGET_BYTES
        case Cloud():
            assert len(stage._attempts) <= config.cloud.queue
            assert len(stage._answers) <= ANSWERS_KEPT
        case Sink():
            assert len(stage._uncommitted) <= COMMIT_AT
            assert not stage._held


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    structlog.configure(processors=[_swallowed])
    with ExitStack() as stack:
        yield Plant(tmp_path, stack)
    structlog.reset_defaults()


def _swallowed(_logger: object, _method: str, _event: object) -> str:
    raise structlog.DropEvent


@pytest.mark.timeout(300)
def test_ten_thousand_messages_that_should_not_be_there_do_no_harm(plant: Plant, tmp_path: Path) -> None:
    sent: Counter[str] = Counter()
    assert plant.running.wait(LATEST_S), "the first stream does not begin"

    @settings(
        max_examples=MESSAGES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(packets())
    def feed(fed: tuple[str, Packet]) -> None:
        damage, packet = fed
        plant.link.publish(packet)
        sent[damage] += 1
        if sent.total() % 250 == 0:
            plant.blow()

    feed()
    plant.blow()
    plant.works.set()
    assert sent.total() >= MESSAGES
    assert len(sent) == len(DAMAGES)
    dropped = sum((runner.dropped for runner in plant.runners.values()), Counter())
    assert dropped.total() > MESSAGES / 4

    for name in FALSE_WORKERS:
        plant.link.publish(wire.encode(SERVICE, _goodbye(name), 0.0))
    plant.start(StageName.READER, (AFTER,))
    assert plant.ended.wait(LATEST_S), "the stream that came next does not end"
    plant.check()
    assert plant.state is not None
    assert plant.state.tally.balanced
    assert plant.state.tally.admitted == FRAMES
    assert plant.state.tally.cloud == FRAMES
    assert len(list((tmp_path / "out").rglob(f"{AFTER}/all/*.jpeg"))) == FRAMES


def _goodbye(name: str) -> WorkerState:
    return worker_state(name, gone=True)
