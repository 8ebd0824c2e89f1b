"""From a config to the stages of one process."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import cv2
import structlog

from broker.mqtt import MqttLink
from pipeline.app.classes import remarks
from pipeline.app.detectors import make_detector
from pipeline.app.fingerprint import fingerprint
from pipeline.app.parts import EDGE, NOTHING_TO_READ, broker_address, budgets, miner_of, sampling, with_little
from pipeline.app.places import Places
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.messages import StageState
from pipeline.model import name_from
from pipeline.observer import Observe
from pipeline.runner import Runner
from pipeline.stage import Stage, StageName
from stages.cloud import Cloud
from stages.detector import DetectorStage
from stages.inference import BackgroundInference
from stages.intake import Pace
from stages.ledger import SqliteLedger
from stages.miner import MinerStage
from stages.mining.audit import Audit
from stages.mining.decider import Decider
from stages.mining.duplicates import Duplicates
from stages.outputs import FolderOutputs
from stages.reader import Reader
from stages.retention import Retention
from stages.sink import Sink
from stages.sources.address import parse_source
from stages.sources.factory import make_source
from stages.sqlite_outbox import SqliteOutbox
from stages.uplink import Uplink
from stages.vision.detect import OnnxDetector

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Names:
    """Who this process is.

    Attributes:
        process: its name on the broker.
        incarnation: changes with every start.
        worker: its worker's name.
    """

    process: str
    incarnation: str
    worker: str

    @classmethod
    def of(cls, config: Config, stages: Sequence[StageName], incarnation: str = "") -> Names:
        """The names from the config, or from what runs where, and a new incarnation unless one is given.

        A process that is nothing but a worker has its name: uplinks heed the will of a process for the worker of its
        name.
        """
        role = "edge" if set(stages) >= set(EDGE) else "-".join(sorted(stages))
        named = config.process or (config.cloud.worker if set(stages) == {StageName.CLOUD} else None)
        process = named or name_from(f"{role}-{socket.gethostname()}-{os.getpid()}")
        return cls(process, incarnation or secrets.token_hex(4), config.cloud.worker or process)


def compose(
    config: Config,
    stages: Sequence[StageName],
    closing: ExitStack,
    incarnation: str = "",
    *,
    observe: Observe | None = None,
) -> Runner:
    """Load what the stages need and put them into a runner, not yet started.

    Args:
        config: of this process.
        stages: what it hosts.
        closing: takes what must be closed after the runner has stopped.
        incarnation: changes with every start; made up if empty.
        observe: gives each stage its observer; None where nobody looks on.

    Raises:
        ConfigError: a model, a source, a miner, a folder or the broker's address is wrong.
    """
    # Stages are threads already; OpenCV's own would only take the CPU from each other.
    cv2.setNumThreads(1)
    names = Names.of(config, stages, incarnation)
    parts = _Parts(config, names, closing)
    streams = tuple(config.streams)
    if StageName.READER in stages and not streams:
        raise ConfigError("streams", NOTHING_TO_READ)
    unique = config.broker.client_id == "unique"
    link = MqttLink(broker_address(config), f"{names.process}-{names.incarnation}" if unique else names.process)
    little = with_little(config)
    with_model = {little: ("detector", config.detector), StageName.CLOUD: ("cloud", config.cloud)}
    here = {stage: model for stage, model in with_model.items() if stage in stages}
    detectors = {stage: make_detector(section, model, len(here)) for stage, (section, model) in here.items()}
    for remark in remarks(config, {section: detectors[stage].names for stage, (section, _) in here.items()}):
        log.warning("classes", note=remark)
    models = tuple(f"{detector.model} on {detector.provider}" for detector in detectors.values())
    state = StageState(
        names.process, names.incarnation, tuple(stages), streams, models, online=True, unsent=0, refused=0
    )
    worker = names.worker if StageName.CLOUD in stages else ""
    runner = Runner(config.service, state, link, worker=worker, observe=observe)
    make: Mapping[StageName, Callable[[], Stage]] = {
        StageName.DETECTOR: lambda: parts.detector_stage(detectors.get(StageName.DETECTOR)),
        StageName.MINER: lambda: parts.miner(detectors.get(StageName.MINER)),
        StageName.UPLINK: parts.uplink,
        StageName.CLOUD: lambda: parts.cloud(detectors[StageName.CLOUD], runner),
        StageName.SINK: parts.sink,
    }
    for stage in stages:
        if stage is StageName.READER:
            for stream in streams:
                runner.add(stage, parts.reader(stream), stream)
        else:
            runner.add(stage, make[stage]())
    return runner


@dataclass(frozen=True, slots=True)
class _Parts:
    """Makes each stage from the config."""

    config: Config
    names: Names
    closing: ExitStack

    @property
    def _owner(self) -> str:
        return f"{self.names.process} (process {os.getpid()} on {socket.gethostname()})"

    def detector_stage(self, detector: OnnxDetector | None) -> DetectorStage:
        return DetectorStage(detector, confidence=self.config.detector.confidence, clock=time.monotonic)

    def reader(self, stream: str) -> Reader:
        config, settings = self.config.reader, self.config.streams[stream]
        address = parse_source(settings.source, f"streams.{stream}.source")
        source = make_source(address, sampling(self.config, settings), config.jpeg_quality)
        return Reader(
            stream,
            source,
            fingerprint=partial(fingerprint, self.config, stream, address, source),
            incarnation=self.names.incarnation,
            clock=time.monotonic,
            window=config.window,
            backlog=config.backlog,
            pace=Pace(config.pace),
            forget_s=1.5 * self.config.outbox.expires,
        )

    def miner(self, detector: OnnxDetector | None) -> MinerStage:
        duplicates = self.config.duplicates
        decider = Decider(
            miner_of(self.config),
            Duplicates(duplicates.grey, duplicates.box_iou, duplicates.within) if duplicates.suppress else None,
            budgets(self.config),
            self.config.seed,
            Audit(self.config.audit.share, self.config.seed),
        )
        return MinerStage(decider, clock=time.monotonic, incarnation=self.names.incarnation, detector=detector)

    def uplink(self) -> Uplink:
        outbox = self.config.outbox
        store = SqliteOutbox(Places.of(self.config).outbox, self._owner, time.monotonic)
        self.closing.callback(store.close)
        return Uplink(
            self.names.process,
            self.names.incarnation,
            store,
            time.monotonic,
            streams=self.config.streams,
            expires_s=outbox.expires,
            budget_bytes=outbox.budget,
            tries=outbox.tries,
            seed=self.config.seed,
        )

    def cloud(self, detector: OnnxDetector, runner: Runner) -> Cloud:
        cloud = self.config.cloud
        deliver = partial(runner.deliver, StageName.CLOUD)
        inference = BackgroundInference(detector, cloud.confidence, runner.submit, deliver)
        return Cloud(
            self.names.worker,
            self.names.incarnation,
            inference,
            time.monotonic,
            slots=cloud.slots,
            queue=cloud.queue,
        )

    def sink(self) -> Sink:
        places = Places.of(self.config)
        ledger = SqliteLedger(places.ledger, self._owner)
        self.closing.callback(ledger.close)
        outputs = FolderOutputs(places.pictures, self.config.sink.jpeg_quality, explain=self.config.sink.explain)
        keep = self.config.sink.keep
        retention = None
        if keep:
            retention = Retention(ledger, outputs, places.pictures, budget_bytes=keep.budget_bytes, age_s=keep.age_s)
        return Sink(ledger, outputs, time.monotonic, retention)
