"""The whole pipeline on a clock of its own: the real stages, hosted as the runner hosts them, in simulated processes.

``World(Schedule.of(seed, split=False)).run()`` drives one schedule to its end. Nothing in it depends on real time or on
anything but the seed, so a run that fails fails again.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from pipeline.errors import DropMessage
from pipeline.messages import Drain, HardExample, Inferred, Message, Result, SourceStatus, StageState, State, Tick
from pipeline.model import Counts, FrameId
from pipeline.routes import filters
from pipeline.runner import Host, Runner
from pipeline.stage import Stage, StageName
from stages.cloud import Cloud
from stages.detector import DetectorStage
from stages.intake import Pace
from stages.miner import MinerStage
from stages.mining.by_chance import Random
from stages.reader import Reader
from stages.sink import LedgerStore, Sink
from stages.uplink import Uplink
from tests.simulation.doubles import Clip, FillingOutbox, LittleModel, MemoryLedger, MemoryOutputs, boxes, seq_of
from tests.simulation.faults import CHAIN, WORKER, Event, Fault, Schedule
from tests.simulation.network import Network, SimulatedLink

SERVICE: Final = "helmet"
STREAM: Final = "gate"
START_S: Final = 1000.0
PAUSE_S: Final = 0.02
"""A process that has run does not tick again for so long, or a reader would read on and on at one moment."""

AFTERMATH_S: Final = 30.0
"""So long the world goes on when all has ended, for what is still under way."""


class Process:
    """A process: its stages behind the routing of a real ``Runner``, one step at a time."""

    def __init__(self, world: World, name: str, incarnation: str, stages: Mapping[StageName, Stage]) -> None:
        self.world, self.name, self.alive = world, name, True
        self.state = StageState(name, incarnation, tuple(stages), (STREAM,), (), online=True, unsent=0, refused=0)
        worker = name if StageName.CLOUD in stages else ""
        self.runner = Runner(SERVICE, self.state, SimulatedLink(world.network, name), worker=worker, clock=world.now)
        for stage_name, stage in stages.items():
            self.runner.add(stage_name, stage, STREAM if stage_name is StageName.READER else "")
        self.stages = stages
        self.filters = filters(SERVICE, frozenset(stages), (STREAM,), worker)
        self.steps_left = math.inf
        self.wedged_until_s = 0.0
        self.runs_at_s = world.now()

    @property
    def hosts(self) -> list[Host]:
        return self.runner._hosts

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a message from the network."""
        self.runner._received(topic, payload)
        self.runs_at_s = max(self.world.now(), self.wedged_until_s)

    def deliver(self, message: Message) -> None:
        """Take a message for the worker that did not come over the network."""
        self.runner.deliver(StageName.CLOUD, message)
        self.runs_at_s = max(self.world.now(), self.wedged_until_s)

    def wedge(self, for_s: float) -> None:
        """Do nothing for a while; what comes meanwhile waits."""
        self.wedged_until_s = self.world.now() + for_s
        self.runs_at_s = max(self.runs_at_s, self.wedged_until_s)

    def run(self) -> None:
        """Handle all that is here in some order, then tick each stage that wants it once."""
        ticked: set[StageName] = set()
        now_s = self.world.now()
        while self.alive:
            ready = [host for host in self.hosts if not host.inbox.empty()]
            if ready:
                host = ready[0] if len(ready) == 1 else self.world.draw.choice(ready)
                self._step(host, host.inbox.get_nowait())
                continue
            due = [host for host in self.hosts if host.name not in ticked and host.stage.wakes_at_s <= now_s]
            if not due:
                break
            ticked.add(due[0].name)
            self._step(due[0], Tick(now_s))
        self.runs_at_s = max(now_s + PAUSE_S, min(host.stage.wakes_at_s for host in self.hosts))

    def _step(self, host: Host, message: Message | None) -> None:
        assert message is not None
        try:
            for follows in host.stage.process(message):
                self.steps_left -= 1
                if self.steps_left < 0:
                    self.world.kill(self)
                    return
                self.world.sent(follows)
                self.runner._dispatch(follows, host)
        except DropMessage as error:
            raise AssertionError(f"{host.name} dropped {message}: {error}") from error


class SlowModel:
    """The big model: it takes its time, dies of poison, and finds some pictures damaged."""

    model = "big"
    provider = "CPU"

    def __init__(self, world: World, worker: str) -> None:
        self._world, self._worker = world, worker
        self._free_at_s = 0.0

    def start(self, example: HardExample) -> None:
        world, process = self._world, self._world.processes[self._worker]
        bad = world.schedule.bad.get(example.id.seq)
        done = Inferred(example, boxes(seq_of(example.image), 1), "", {})
        if bad is not Fault.DAMAGED:
            world.inferred[process.state.incarnation, example.id] += 1
        else:
            done = Inferred(example, None, "the picture is damaged", {})
        took_s = world.schedule.service_s * world.draw.uniform(0.5, 1.5)
        self._free_at_s = max(world.now(), self._free_at_s, world.stalled_until_s[self._worker]) + took_s
        ends_s = self._free_at_s - world.now()
        if bad is Fault.POISON:
            world.later(ends_s, lambda: world.kill(process))
        else:
            world.later(ends_s, lambda: process.deliver(done))


class World:
    """One simulated run.

    Attributes:
        published: the public results, in the order in which they were sent.
        states: what the sink said of the stream.
        deaths: how often a process of this name has died.
        inferred: how often each incarnation of a worker looked at each frame.
        ledger: it survives its process.
        outputs: the same.
    """

    def __init__(self, schedule: Schedule, ledger: LedgerStore | None = None) -> None:
        self.schedule = schedule
        self.draw = random.Random(f"world/{schedule.seed}")
        self.published: list[Result] = []
        self.states: list[State] = []
        self.deaths: Counter[str] = Counter()
        self.inferred: Counter[tuple[str, FrameId]] = Counter()
        self.stalled_until_s: defaultdict[str, float] = defaultdict(float)
        self.processes: dict[str, Process] = {}
        self.outputs = MemoryOutputs(lambda: self.now() < self._full_until_s)
        self.ledger = ledger or MemoryLedger()
        self.outbox = self._new_outbox()
        self._full_until_s = 0.0
        self._now_s = START_S
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        # the schedule counts from 0
        self.network = Network(schedule, lambda: self._now_s - START_S, self.later)

    def now(self) -> float:
        """The monotonic clock of every process."""
        return self._now_s

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something in ``delay_s`` seconds."""
        heapq.heappush(self._events, (self._now_s + delay_s, next(self._order), action))

    def run(self, check: Callable[[Process], None] = lambda _: None) -> None:
        """Live through the schedule, until everything has ended; ``check`` looks at each process that has run.

        Raises:
            AssertionError: it does not end.
        """
        for name in ("edge",) if not self.schedule.split else CHAIN:
            self.start(name)
        for i in range(self.schedule.workers):
            self.start(f"{WORKER}-{i}")
        for event in self.schedule.events:
            self.later(event.at_s, partial(self._happen, event))
        self.later(self.schedule.calm_s, self._calm)
        # After the calm: a frame may expire three times over, once for each worker it ends, and re-sends take a minute.
        latest_s = START_S + self.schedule.calm_s + 4 * self.schedule.expires_s + 600
        self._until(lambda: self.ended, latest_s, check)
        assert self.ended, f"it has not ended {latest_s - START_S:.0f} s after its start"
        until_s = self._now_s + AFTERMATH_S
        self._until(lambda: self._now_s >= until_s, until_s + 60, check)

    @property
    def ended(self) -> bool:
        """Whether faults are over, the sink has said that the stream has ended, and the uplink knows it all stored."""
        last, uplink = self.states[-1] if self.states else None, self.stage(StageName.UPLINK)
        return (
            self._now_s >= START_S + self.schedule.calm_s
            and last is not None
            and last.status is SourceStatus.ENDED
            and last.tally.pending == 0
            and isinstance(uplink, Uplink)
            and not uplink._held
        )

    def sent(self, message: Message) -> None:
        """See what a stage has said."""
        if isinstance(message, Result):
            self.published.append(message)
        elif isinstance(message, State):
            self.states.append(message)

    def stage(self, name: StageName) -> Stage | None:
        """The edge's stage of this name, if its process is alive."""
        return next((p.stages[name] for p in self.processes.values() if p.alive and name in p.stages), None)

    def start(self, name: str) -> None:
        """Start a process, for the first time or again."""
        incarnation = f"{name}-{self.deaths[name]}"
        process = Process(self, name, incarnation, self._stages(name, incarnation))
        self.processes[name] = process
        self.network.join(process)

    def kill(self, process: Process) -> None:
        """End a process without a goodbye; it comes back soon."""
        if not process.alive:
            return
        process.alive = False
        self.deaths[process.name] += 1
        if StageName.SINK in process.stages:
            self.ledger.rollback()
        self.later(self.draw.choice((0.1, 2.0, 10.0)), lambda: self.start(process.name))

    def _until(self, over: Callable[[], bool], latest_s: float, check: Callable[[Process], None]) -> None:
        while not over() and self._now_s < latest_s:
            alive = [process for process in self.processes.values() if process.alive]
            runs_at_s = min((process.runs_at_s for process in alive), default=math.inf)
            next_s = min(self._events[0][0] if self._events else math.inf, runs_at_s)
            self._now_s = max(self._now_s, min(next_s, latest_s))
            while self._events and self._events[0][0] <= self._now_s:
                heapq.heappop(self._events)[2]()
            for process in list(self.processes.values()):
                if process.alive and process.runs_at_s <= self._now_s:
                    process.run()
                    check(process)

    def _happen(self, event: Event) -> None:
        process = self.processes[event.process] if event.process in self.processes else self.processes["edge"]
        match event.fault:
            case Fault.EDGE_DEATH:
                process.steps_left = self.draw.randrange(20)
            case Fault.WORKER_DEATH:
                self.kill(process)
            case Fault.WORKER_LEAVES:
                self._leave(process)
            case Fault.WORKER_WEDGED:
                process.wedge(event.for_s)
            case Fault.WORKER_STALLED:
                self.stalled_until_s[event.process] = self._now_s + event.for_s
            case Fault.CUT:
                self.network.cut(event.process, event.for_s)
            case Fault.DISK_FULL:
                self._full_until_s = self._now_s + event.for_s

    def _calm(self) -> None:
        for process in self.processes.values():
            process.steps_left = math.inf

    def _leave(self, process: Process) -> None:
        """End a worker as SIGTERM does: it says goodbye, and answers what it has in work if that is soon done."""
        process.deliver(Drain())
        self.later(2.0, lambda: self.kill(process))

    def _stages(self, name: str, incarnation: str) -> Mapping[StageName, Stage]:
        if name.startswith(WORKER):
            return {StageName.CLOUD: self._cloud(name, incarnation)}
        names = CHAIN if name == "edge" else (name,)
        make: Mapping[str, Callable[[], Stage]] = {
            "reader": lambda: self._reader(incarnation),
            "detector": lambda: DetectorStage(LittleModel(), confidence=0.4, clock=self.now),
            "miner": lambda: MinerStage(
                Random(random_ratio=self.schedule.hard_ratio, seed=self.schedule.seed), clock=self.now
            ),
            "uplink": lambda: self._uplink(name, incarnation),
            "sink": lambda: Sink(self.ledger, self.outputs, self.now),
        }
        return {StageName(name): make[name]() for name in names}

    def _reader(self, incarnation: str) -> Reader:
        schedule = self.schedule
        large = frozenset(seq for seq, fault in schedule.bad.items() if fault is Fault.TOO_LARGE)
        return Reader(
            STREAM,
            Clip(schedule.frames * schedule.every, schedule.every, schedule.fps, large),
            fingerprint=lambda: "the same",
            incarnation=incarnation,
            clock=self.now,
            window=schedule.window,
            backlog=schedule.backlog,
            pace=Pace.REAL,
            forget_s=1.5 * schedule.expires_s,
        )

    def _new_outbox(self) -> FillingOutbox:
        return FillingOutbox(lambda: self.now() < self._full_until_s)

    def _uplink(self, name: str, incarnation: str) -> Uplink:
        schedule = self.schedule
        if not schedule.durable:
            self.outbox = self._new_outbox()
        return Uplink(
            name,
            incarnation,
            self.outbox,
            self.now,
            streams=(STREAM,),
            expires_s=schedule.expires_s,
            budget_bytes=schedule.budget_bytes,
            seed=schedule.seed,
        )

    def _cloud(self, name: str, incarnation: str) -> Cloud:
        model = SlowModel(self, name)
        return Cloud(name, incarnation, model, self.now, slots=self.schedule.slots, queue=self.schedule.queue)


def counts_of(schedule: Schedule) -> Counts:
    """What a reader has counted at the end of the clip."""
    read = schedule.frames * schedule.every
    return Counts(read, read - schedule.frames, 0, schedule.frames)
