"""The processes of one replay, from their start to their end."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from broker.mosquitto import PrivateMosquitto
from broker.mqtt import MqttLink
from pipeline.app.children import Child
from pipeline.app.interrupts import Interrupts, uninterrupted
from pipeline.app.parts import EDGE, broker_address
from pipeline.app.places import Places
from pipeline.app.progress import FrameProgress
from pipeline.app.watch import Watch
from pipeline.config import Config, HttpConfig, validated
from pipeline.errors import ConfigError, TandemError
from pipeline.messages import SourceStatus
from pipeline.model import name_from
from stages.cpus import threads_each

BROKER_S: Final = 10.0
"""A running broker must answer within this time."""

WARM_S: Final = 180.0
"""So long a worker may take to load and warm its model."""

RETAINED_S: Final = 0.1
"""So soon after the subscription a broker has sent what it keeps."""

REPEATED_S: Final = 2.5
"""Within this time a worker that is alive announces itself again."""

DRAIN_S: Final = 15.0
WORKER_STOP_S: Final = 5.0

BROKER: Final = "broker"
"""What the private broker is called among the processes of a replay."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a replay is run, besides its config.

    Attributes:
        private_port: where the private broker listens, 0 for a free port; None uses the config's broker.
        workers: how many cloud workers.
        split: every stage in a process of its own.
        fresh: remove the outputs of an earlier run first.
        report: write the report there as JSON.
        folder: the option that says where the outputs go, for errors.
    """

    private_port: int | None = 0
    workers: int = 1
    split: bool = False
    fresh: bool = False
    report: Path | None = None
    folder: str = "--out"


class ReplayError(TandemError):
    """A process of the replay has failed.

    Attributes:
        exit_code: with which the replay ends.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ReplayRun:
    """Starts the processes of one replay, follows them, and ends them.

    Attributes:
        config: of this run.
        began_ns: when the frames began, since the epoch.
        mended: what ended by itself and was started again.
    """

    def __init__(
        self,
        config: Config,
        options: Options,
        places: Places,
        folder: Path,
        console: Console,
        *,
        broker: PrivateMosquitto | None,
        interrupts: Interrupts,
    ) -> None:
        self.config = config
        self.mended: list[str] = []
        self._broker = broker
        self._broker_starts = 1
        self._killed: set[str] = set()
        self._options = options
        self._places = places
        self._folder = folder
        self._console = console
        self._workers: dict[str, Child] = {}
        self._edge: dict[str, Child] = {}
        self._spent_s: dict[str, float] = {}
        self._interrupts = interrupts
        self.began_ns = time.time_ns()
        address = broker_address(config)
        self._link = MqttLink(address, name_from(f"replay-{folder.name}"), awaited=True)
        self._watch = Watch(config.service, self._link)

    @contextlib.contextmanager
    def started(self) -> Iterator[ReplayRun]:
        """Connect and start every process; whatever happens, none of them stays behind."""
        try:
            self._connect()
            self._refuse_another()
            if not self.interrupted:
                # All of them load at the same time; frames start when the workers are warm.
                for name in self._worker_names():
                    self._start_worker(name)
                self._start_edge()
                self._await_workers()
                self._refuse_another()
            if not self.interrupted:
                self._begin()
            yield self
        finally:
            with uninterrupted():
                for child in self._children():
                    child.kill()
                self._watch.close()

    @property
    def interrupted(self) -> bool:
        """Whether somebody wants it to end."""
        return self._interrupts.count > 0

    def play(self, lengths: Mapping[str, int | None], disturb: Callable[[], None] = lambda: None) -> None:
        """Follow the streams until they are complete, or somebody interrupts.

        Args:
            lengths: the frames of each source, where they are known.
            disturb: called again and again meanwhile; it may ``kill``.
        """
        streams = tuple(self.config.streams)
        with FrameProgress(self._console, lengths) as progress:
            while not self.interrupted and not self._watch.complete(streams):
                self._watch.wait()
                progress.show(self._watch.streams.values())
                if not self._watch.complete(streams):
                    disturb()
                self._look_after_children()
        for stream, state in sorted(self._watch.streams.items()):
            if state.status is SourceStatus.ENDED and state.reason:
                self._console.print(f"{stream}: {state.reason}", highlight=False, soft_wrap=True)

    @property
    def workers(self) -> tuple[str, ...]:
        """The names of the cloud workers."""
        return tuple(self._workers)

    def incarnation(self, name: str) -> str:
        """Which start of the process ``name`` this is: a child or the private broker."""
        return f"{name}-{self._broker_starts}" if name == BROKER else self._child_named(name).incarnation

    def kill(self, name: str) -> None:
        """End a process at once, as a power cut would, a child or the private broker; it is started again."""
        if name == BROKER:
            assert self._broker is not None  # noqa: S101 - who kills it has asked for one
            self._broker.kill()
        else:
            self._child_named(name).kill()
        self._killed.add(name)

    def stop(self) -> None:
        """Let the edge finish what is local, in the order of the chain, then end the workers."""
        if self.interrupted:
            by = self._interrupts.another
            self._console.print(f"stopping when what is under way here is done; {by} stops at once", highlight=False)
        for child in self._edge.values():
            child.stop(DRAIN_S)
        for child in self._workers.values():
            child.stop(WORKER_STOP_S)
        for stream, state in sorted(self._watch.streams.items()):
            if self.interrupted and state.waiting:
                words = f"{stream}: {state.tally.pending} frames have no end yet: {state.waiting}"
                self._console.print(words, highlight=False, soft_wrap=True)

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds by process, this one included."""
        children = {child.name: self._spent_s.get(child.name, 0.0) + child.cpu_s for child in self._children()}
        return {**children, "replay": time.process_time()}

    def peak_rss_bytes(self) -> dict[str, int]:
        """The largest resident set of each process."""
        return {child.name: child.peak_rss_bytes for child in self._children()}

    def models(self) -> dict[str, str]:
        """The models and what they run on, as our processes have said; others may be on the same broker."""
        said = {
            "cloud" if "cloud" in state.stages else "edge": state.models[0]
            for child in self._children()
            if (state := self._watch.processes.get(child.incarnation)) and state.models
        }
        return dict(sorted(said.items(), reverse=True))

    def _connect(self) -> None:
        if not self._watch.until(lambda: self.interrupted or self._link.connected, BROKER_S):
            raise ConfigError("broker.url", f"no broker within {BROKER_S:g} s: {self._link.reason}")
        if self.interrupted:
            return
        address = broker_address(self.config)
        self._console.print(f"broker at {address}; join with", highlight=False)
        watch = f"mosquitto_sub -h {address.host} -p {address.port} -t 'tandem/+/+/results'"
        self._console.print(f"  {watch}", highlight=False, soft_wrap=True)

    def _refuse_another(self) -> None:
        """Two replays of one service would take each other's frames and answers.

        Raises:
            ConfigError: workers that are not ours announce themselves by the names of ours.
        """
        if self._broker:
            return
        self._watch.until(lambda: self.interrupted or bool(self._others()), RETAINED_S)
        self._watch.until(lambda: self.interrupted or not self._others() or self._others_are_alive(), REPEATED_S)
        if self._others_are_alive():
            service, address = self.config.service, broker_address(self.config)
            raise ConfigError(
                "service",
                f"another replay runs as {service} on {address}: wait for its end, or give this one a service of its "
                f"own, e.g. --set service={service[:61]}-2",
            )
        self._watch.forget_workers(self._others())

    def _others(self) -> set[str]:
        """The incarnations of workers that have the names of ours."""
        names, ours = self._worker_names(), {child.incarnation for child in self._workers.values()}
        return {state.incarnation for state in list(self._watch.workers.values()) if state.worker in names} - ours

    def _others_are_alive(self) -> bool:
        return any(map(self._watch.repeats_itself, self._others()))

    def _worker_names(self) -> list[str]:
        return [f"worker-{number}" for number in range(1, self._options.workers + 1)]

    def _is_warm(self, worker: Child) -> bool:
        return worker.incarnation in self._watch.workers

    def _is_online(self, child: Child) -> bool:
        state = self._watch.processes.get(child.incarnation)
        return state is not None and state.online

    def _await_workers(self) -> None:
        warm = lambda: self.interrupted or self._failed() or all(map(self._is_warm, self._workers.values()))  # noqa: E731
        if not self._watch.until(warm, WARM_S):
            raise ReplayError(f"no worker was warm within {WARM_S:g} s: see {self._places.logs}", 1)
        self._look_after_children()

    def _start_worker(self, name: str) -> None:
        cloud = self.config.cloud.model_copy(update={"worker": name, "threads": self._threads(self.config.cloud)})
        config = self.config.model_copy(update={"process": name, "cloud": cloud})
        self._workers[name] = self._child(name, ["cloud"], config)
        self._workers[name].begin()

    def _start_edge(self, only: str = "") -> None:
        detector = self.config.detector.model_copy(update={"threads": self._threads(self.config.detector)})
        config = self.config.model_copy(update={"detector": detector})
        groups = [(stage.value, [stage.value]) for stage in EDGE]
        if not self._options.split:
            groups = [("edge", [stage.value for stage in EDGE])]
        for name, stages in groups:
            if only in ("", name):
                self._edge[name] = self._child(name, stages, config.model_copy(update={"process": name}))

    def _begin(self) -> None:
        """Let the frames begin, when all who wait for them are on the broker: what is sent before is lost, comes again
        later, and is judged without the frames that it should have followed, and they without it.
        """
        self._watch.forget_streams()
        reader, *others = self._edge.values()
        for child in others:
            child.begin()
        ready = lambda: self.interrupted or self._failed() or all(map(self._is_online, others))  # noqa: E731
        self._watch.until(ready, WARM_S)
        self.began_ns = time.time_ns()
        reader.begin()

    def _threads(self, model: Any) -> int:
        return model.threads or threads_each(1 + self._options.workers)

    def _child(self, name: str, stages: list[str], config: Config) -> Child:
        file = self._folder / f"{name}.yaml"
        file.touch(mode=0o600)
        alone = config.model_copy(update={"http": HttpConfig()})  # only one of them could have the port
        file.write_text(json.dumps(validated(alone.model_dump()).model_dump(mode="json")))
        return Child(name, stages, file, self._places.logs / f"{name}.log")

    def _children(self) -> list[Child]:
        return [*self._edge.values(), *self._workers.values()]

    def _child_named(self, name: str) -> Child:
        return (self._edge | self._workers)[name]

    def _failed(self) -> bool:
        return any(child.ended() for child in self._children())

    def _look_after_children(self) -> None:
        """What ``kill`` ended is started again, and a worker that was warm and the broker always; any other end is the
        replay's.
        """
        if self.interrupted:
            return
        if self._broker and not self._broker.running:
            self._say_mended(BROKER, "the broker ended; it is started again")
            self._broker.restart()
            self._broker_starts += 1
        for child in self._children():
            if not child.ended():
                continue
            if child.name not in self._killed and (
                child.exit_code == 2 or child.name in self._edge or not self._is_warm(child)
            ):
                raise _failure(child)
            self._say_mended(child.name, f"{child.name} {child.ending}; it is started again")
            self._spent_s[child.name] = self._spent_s.get(child.name, 0.0) + child.cpu_s
            self._start_again(child.name)

    def _start_again(self, name: str) -> None:
        if name in self._workers:
            self._start_worker(name)
        else:
            self._start_edge(name)
            self._edge[name].begin()

    def _say_mended(self, name: str, text: str) -> None:
        if name not in self._killed:
            self.mended.append(name)
            self._console.print(text)
        self._killed.discard(name)


def _failure(child: Child) -> ReplayError:
    """What a replay ends with when a process has ended that it needs."""
    log = f"(its log: {child.log_file})"
    if child.exit_code == 2:
        return ReplayError(f"{child.name}: {child.last_words()} {log}", 2)
    words = "" if (child.exit_code or 0) < 0 else f": {child.last_words()}"
    return ReplayError(f"{child.name} {child.ending}{words}; the same command again goes on from there {log}", 1)
