"""``tandem check``: everything that a process will need, tried once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from broker.mqtt import MqttLink
from pipeline.app.classes import remarks
from pipeline.app.detectors import make_detector
from pipeline.app.parts import NOTHING_TO_READ, broker_address, miner_of, sampling, with_little
from pipeline.app.places import Places
from pipeline.app.probes import Probes, Use
from pipeline.app.writable import obstacles
from pipeline.config import Config, ModelConfig
from pipeline.errors import ConfigError, TandemError
from pipeline.model import name_from
from pipeline.routes import ROUTES
from pipeline.stage import StageName
from pipeline.topics import Kind, Topic
from stages.sources.address import parse_source
from stages.sources.factory import check_source, make_source

REACHED_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried; ``error`` says what is wrong and what to do, and is empty where all is well.

    One that is a ``note`` was not tried, and is no mistake, but should be known.
    """

    what: str
    error: str = ""
    tried: bool = True
    note: bool = False

    @property
    def word(self) -> str:
        """How it went, in five letters."""
        return "WRONG" if self.error else "note " if self.note else "ok   " if self.tried else "left "


def check(config: Config, stages: Sequence[StageName], console: Console) -> int:
    """Try everything, print a line for each, and return 0 if all is well, else 2."""
    wrong = 0
    for finding in _findings(config, frozenset(stages)):
        console.print(f"{finding.word} {finding.what}", highlight=False, soft_wrap=True)
        if finding.error:
            console.print(f"      {finding.error}", highlight=False, soft_wrap=True)
            wrong += 1
    return 2 if wrong else 0


def _findings(config: Config, stages: frozenset[StageName]) -> Iterator[Finding]:
    yield Finding(f"config: service {config.service}, streams: {', '.join(config.streams) or 'none'}")
    if StageName.READER in stages:
        if not config.streams:
            yield Finding("sources", NOTHING_TO_READ)
        for stream in config.streams:
            yield _source(config, stream)
    if StageName.MINER in stages:
        yield _tried(f"miner: {config.miner.name}", lambda: miner_of(config))
    yield from _models(config, stages)
    yield from _folders(config, stages)
    yield from _broker(config, stages)


def _tried(what: str, act: Callable[[], object]) -> Finding:
    try:
        act()
    except TandemError as error:
        return Finding(what, str(error))
    return Finding(what)


def _models(config: Config, stages: frozenset[StageName]) -> Iterator[Finding]:
    wanted = {"detector": (with_little(config), config.detector), "cloud": (StageName.CLOUD, config.cloud)}
    models = {section: model for section, (stage, model) in wanted.items() if stage in stages}
    names: dict[str, tuple[str, ...]] = {}
    for section, model in models.items():

        def load(section: str = section, model: ModelConfig = model) -> None:
            names[section] = make_detector(section, model, 1).names

        yield _tried(f"{section}: {model.model}", load)
    for remark in remarks(config, names):
        yield Finding(remark, note=True)


def _source(config: Config, stream: str) -> Finding:
    settings = config.streams[stream]
    try:
        address = parse_source(settings.source, f"streams.{stream}.source")
    except TandemError as error:
        return Finding(f"source of {stream}", str(error))
    # Its name for people: a camera's URL may have a password in it.
    what = f"source of {stream}: {address.name}"
    source = make_source(address, sampling(config, settings))
    if source.live:
        return Finding(
            f"{what} (a camera is not tried here: tandem run says on its state topic how it is)", tried=False
        )
    return _tried(what, lambda: check_source(source))


def _folders(config: Config, stages: frozenset[StageName]) -> Iterator[Finding]:
    """Each folder that is fine; of those that are not, what stops them all once."""
    try:
        places = Places.of(config)
    except ConfigError as error:
        yield Finding("outputs", str(error))
        return
    folders: dict[Path, str] = {}
    if StageName.UPLINK in stages:
        folders[places.outbox] = "outbox"
    if StageName.SINK in stages:
        pictures = {folder for folders in places.pictures.values() for folder in folders}
        folders |= dict.fromkeys(sorted({places.state, *pictures}), "outputs")
    wrong = obstacles(folders)
    for folder, what in folders.items():
        if not any(folder in obstacle.folders for obstacle in wrong):
            yield Finding(f"{what}: {folder}")
    for obstacle in wrong:
        yield Finding(f"{folders.get(obstacle.at, 'outputs')}: {obstacle.at}", obstacle.why)


def _broker(config: Config, stages: frozenset[StageName]) -> Iterator[Finding]:
    """Publish a probe to each topic that the stages use, and see whether it is taken and comes back.

    A broker grants a subscription that it denies: only the missing probe tells. A probe is JSON of version 0, so
    whoever takes it counts and skips it.
    """
    client_id, process = name_from(f"check-{uuid.uuid4().hex[:8]}"), config.process or "check"
    if config.broker.client_id == "process":  # the ACL goes by it: another one would be allowed other topics
        client_id = process = config.process or client_id
    try:
        address = broker_address(config)
        link = MqttLink(address, client_id)
    except TandemError as error:
        yield Finding("broker", str(error))
        return
    what = f"broker: {address}"
    probes = Probes(link, _topics(config, stages, process))
    probes.start()
    try:
        until_s = time.monotonic() + REACHED_S
        while not (link.reason or link.wait_connected(0.05)) and time.monotonic() < until_s:
            pass
        if not link.connected:
            yield Finding(what, link.reason or f"no answer within {REACHED_S:g} s")
            return
        yield Finding(what)
        yield from (Finding(f"topic {found.topic}{found.remark}", found.error, found.tried) for found in probes.tried())
    finally:
        link.stop(flush_s=0.5)


def _topics(config: Config, stages: frozenset[StageName], process: str) -> Iterator[Use]:
    """The topics that these stages send to or take from, over the broker."""
    sends = {
        route.kind
        for route in ROUTES.values()
        if stages.intersection(route.senders) and (route.public or not stages.issuperset(route.takers))
    }
    takes = {
        route.kind
        for route in ROUTES.values()
        if stages.intersection(route.takers) and (route.foreign or not stages.issuperset(route.senders))
    }
    worker = config.cloud.worker or process
    yield Use(Topic(config.service, Kind.STAGES, name=process), sends=True, takes=Kind.STAGES in takes)
    for kind in sorted((sends | takes) - {Kind.STAGES}):
        how = {"sends": kind in sends, "takes": kind in takes}
        if kind is Kind.WORKERS:
            yield Use(Topic(config.service, kind, name=worker), **how)
        else:
            for stream in config.streams or ("check",):
                yield Use(Topic(config.service, kind, stream, worker if kind is Kind.HARD else ""), **how)
