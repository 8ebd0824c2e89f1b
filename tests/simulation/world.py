"""The whole pipeline on a clock of its own: the real stages, hosted as the runner hosts them, in simulated processes.

``World(Schedule.of(seed, shape)).run()`` drives one schedule to its end. Nothing in it depends on real time or on
anything but the seed, so a run that fails fails again.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pipeline.budget import Budget
from pipeline.messages import Drain, Message, Result, SourceStatus, State
from pipeline.stage import Stage, StageName
from stages.cloud import Cloud
from stages.detector import DetectorStage
from stages.intake import Pace
from stages.ledger import SqliteLedger
from stages.miner import MinerStage
from stages.mining.audit import Audit
from stages.mining.by_chance import Random
from stages.mining.decider import Decider
from stages.mining.duplicates import Duplicates
from stages.reader import Reader
from stages.sink import LedgerStore, Sink
from stages.uplink import Uplink
from tests.simulation.doubles import FillingOutbox, LittleModel, MemoryLedger, MemoryOutputs
from tests.simulation.faults import CHAIN, STREAM, WORKER, Event, Fault, Schedule
from tests.simulation.network import Network
from tests.simulation.process import Process, SlowModel
from tests.simulation.sources import Camera, Clip

START_S: Final = 1000.0

AFTERMATH_S: Final = 30.0
"""So long the world goes on when all has ended, for what is still under way."""


@cache
def _empty_ledger() -> bytes:
    """A ledger without streams; to make each anew would cost a quarter of a run."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        SqliteLedger(path, "the simulation").close()
        return path.read_bytes()


class World:
    """One simulated run.

    Attributes:
        published: the public results, in the order in which they were sent.
        states: what the sink said of the stream.
        deaths: how often a process of this name has died.
        struck: how often each fault of a process has happened.
        inferred: how often each incarnation of a worker looked at each picture.
        ledger: it survives its process.
        outputs: the same.
        camera: it knows what it has given to whom.
    """

    def __init__(self, schedule: Schedule, path: Path | None = None) -> None:
        """Make a world for ``schedule``, with the real ledger at ``path``, or one in memory."""
        self.schedule = schedule
        self.draw = random.Random(f"world/{schedule.seed}")
        self._listen: Callable[[World, Message], None] = lambda _world, _message: None
        self.published: list[Result] = []
        self.states: list[State] = []
        self.deaths: Counter[str] = Counter()
        self.struck: Counter[Fault] = Counter()
        self.inferred: Counter[tuple[str, int]] = Counter()
        self.stalled_until_s: defaultdict[str, float] = defaultdict(float)
        self.processes: dict[str, Process] = {}
        self._full_until_s = 0.0
        self._now_s = START_S
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self.outputs = MemoryOutputs(self._full, self._seq_of)
        self.ledger: LedgerStore = self._opened(path) if path else MemoryLedger(self._full)
        self.outbox = FillingOutbox(self._full)
        # the schedule counts from 0
        self.network = Network(schedule, lambda: self._now_s - START_S, self.later)
        large = frozenset(seq for seq, fault in schedule.bad.items() if fault is Fault.TOO_LARGE)
        frames = schedule.frames * schedule.every
        self._clip = partial(Clip, frames, schedule.every, schedule.fps, large, self._met_large)
        self.camera = Camera(self.now, frames, schedule.every, schedule.fps, large, self._met_large)

    def now(self) -> float:
        """The monotonic clock of every process."""
        return self._now_s

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something in ``delay_s`` seconds."""
        heapq.heappush(self._events, (self._now_s + delay_s, next(self._order), action))

    def run(self, check: Callable[[Process], None], listen: Callable[[World, Message], None]) -> None:
        """Live through the schedule, until everything has ended.

        Args:
            check: looks at each process in which something has happened.
            listen: hears what stages say, as they say it.

        Raises:
            AssertionError: it does not end.
        """
        self._listen = listen
        for name in ("edge",) if not self.schedule.shape.split else CHAIN:
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
    def faults(self) -> frozenset[Fault]:
        """The kinds of faults that have happened."""
        return frozenset(fault for fault, often in (self.struck + self.network.struck).items() if often)

    @property
    def ended(self) -> bool:
        """Whether faults are over, everybody knows that the stream has ended, and the uplink knows it all stored."""
        if self._now_s < START_S + self.schedule.calm_s:
            return False
        if not (self._camera_stopped if self.schedule.shape.live else self._clip_ended):
            return False
        uplink = self.stage(StageName.UPLINK)
        return isinstance(uplink, Uplink) and not uplink._held

    @property
    def _clip_ended(self) -> bool:
        last = self.states[-1] if self.states else None
        return last is not None and last.status is SourceStatus.ENDED and last.tally.pending == 0

    @property
    def _camera_stopped(self) -> bool:
        """A reader that is stopped says so once, and that may be lost."""
        reader = self.stage(StageName.READER)
        stopped = reader is not None and reader.drained and self.camera.over
        return stopped and self.ledger.tally(STREAM).pending == 0

    def sent(self, message: Message) -> None:
        """See what a stage has said."""
        self._listen(self, message)
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
        self.processes[name] = Process(self, name, incarnation, self._stages(name, incarnation))

    def kill(self, process: Process) -> None:
        """End a process without a goodbye; it comes back soon."""
        if not process.alive:
            return
        process.alive = False
        self.deaths[process.name] += 1
        self.network.died(process.name)
        if StageName.SINK in process.stages:
            self.ledger = self._reopen(self.ledger)
        self.later(self.draw.choice((0.1, 2.0, 10.0)), lambda: self.start(process.name))

    def _until(self, over: Callable[[], bool], latest_s: float, check: Callable[[Process], None]) -> None:
        while not over() and self._now_s < latest_s:
            next_s = self._events[0][0] if self._events else math.inf
            for process in self.processes.values():
                if process.alive and process.runs_at_s < next_s:
                    next_s = process.runs_at_s
            self._now_s = max(self._now_s, min(next_s, latest_s))
            while self._events and self._events[0][0] <= self._now_s:
                heapq.heappop(self._events)[2]()
            for process in list(self.processes.values()):
                if process.alive and process.runs_at_s <= self._now_s and process.run():
                    check(process)

    def _happen(self, event: Event) -> None:
        process = self.processes.get(event.process)
        if process is None:
            self._happen_around(event)
        elif not process.alive:
            return
        elif event.fault is Fault.EDGE_DEATH:
            process.steps_left = self.draw.randrange(20)
            return
        else:
            self._happen_to(process, event)
        self.struck[event.fault] += 1

    def _happen_around(self, event: Event) -> None:
        match event.fault:
            case Fault.BROKER_GONE | Fault.BROKER_WIPED:
                self.network.gone(event.for_s, wiped=event.fault is Fault.BROKER_WIPED)
            case Fault.CAMERA_LOST:
                self.camera.lose(event.for_s)
            case Fault.DISK_FULL:
                self._full_until_s = self._now_s + event.for_s
            case _:
                raise AssertionError(f"nobody knows {event}")

    def _happen_to(self, process: Process, event: Event) -> None:
        match event.fault:
            case Fault.WORKER_DEATH:
                self.kill(process)
            case Fault.WORKER_LEAVES:
                self._leave(process)
            case Fault.WORKER_WEDGED | Fault.EDGE_WEDGED:
                process.wedge(event.for_s)
                self.network.wedged(process.name, event.for_s)
            case Fault.WORKER_STALLED:
                self.stalled_until_s[process.name] = self._now_s + event.for_s
            case Fault.CUT:
                self.network.cut(process.name, event.for_s)
            case Fault.LINK_BREAKS:
                self.network.breaks(process.name)
            case _:
                raise AssertionError(f"nobody knows {event}")

    def _calm(self) -> None:
        for process in self.processes.values():
            process.steps_left = math.inf
        if self.schedule.shape.live:
            self._stop_camera()

    def _stop_camera(self) -> None:
        """Stop the reader as SIGTERM does, once there is nothing new to see; a camera has no end of its own.

        One that has not been told where to go on is not stopped: what the reader before it has lost is not known yet.
        """
        reader = self.stage(StageName.READER)
        if isinstance(reader, Reader) and reader._resumed and self.camera.over:
            process = next(p for p in self.processes.values() if StageName.READER in p.stages)
            process.deliver(StageName.READER, Drain())
        else:
            self.later(1.0, self._stop_camera)

    def _full(self) -> bool:
        return self._now_s < self._full_until_s

    def _met_large(self) -> None:
        self.struck[Fault.TOO_LARGE] += 1

    def _seq_of(self, number: int) -> int:
        return self.camera.shots[number].seq if self.schedule.shape.live else number

    def _opened(self, path: Path) -> SqliteLedger:
        if not path.exists():
            path.write_bytes(_empty_ledger())
        ledger = SqliteLedger(path, "the simulation")
        # Processes die here, machines do not: nothing needs to reach the disk.
        ledger._rows._connection.execute("PRAGMA synchronous = OFF")
        return ledger

    def _reopen(self, ledger: LedgerStore) -> LedgerStore:
        """What the next process finds: all that was committed."""
        if isinstance(ledger, SqliteLedger):
            ledger.close()
            return self._opened(ledger.path)
        assert isinstance(ledger, MemoryLedger)
        ledger.died()
        return ledger

    def _leave(self, process: Process) -> None:
        """End a worker as SIGTERM does: it says goodbye, and answers what it has in work if that is soon done."""
        process.deliver(StageName.CLOUD, Drain())
        self.later(2.0, lambda: self.kill(process))

    def _stages(self, name: str, incarnation: str) -> Mapping[StageName, Stage]:
        if name.startswith(WORKER):
            return {StageName.CLOUD: self._cloud(name, incarnation)}
        names = CHAIN if name == "edge" else (name,)
        make: Mapping[str, Callable[[], Stage]] = {
            "reader": lambda: self._reader(incarnation),
            "detector": lambda: DetectorStage(LittleModel(), confidence=0.4, clock=self.now),
            "miner": lambda: MinerStage(self._decider(), clock=self.now, incarnation=incarnation),
            "uplink": lambda: self._uplink(name, incarnation),
            "sink": lambda: Sink(self.ledger, self.outputs, self.now),
        }
        return {StageName(name): make[name]() for name in names}

    def _decider(self) -> Decider:
        """In every other schedule it judges over time: near-duplicates are left out, and a budget is spent."""
        schedule = self.schedule
        miner = Random(random_ratio=schedule.hard_ratio, seed=schedule.seed)
        audit = Audit(schedule.audit_share, schedule.seed)
        if schedule.seed % 2:
            return Decider(miner, audit=audit)
        budget = Budget.parse(f"{100 * schedule.hard_ratio:g} %")
        duplicates = None if schedule.shape.split else Duplicates(within_s=0.5)  # their memory is larger than a packet
        return Decider(miner, duplicates, {STREAM: budget}, schedule.seed, audit)

    def _reader(self, incarnation: str) -> Reader:
        schedule = self.schedule
        self.camera.readers += 1
        return Reader(
            STREAM,
            self.camera if schedule.shape.live else self._clip(),
            fingerprint=lambda: "the same",
            incarnation=incarnation,
            clock=self.now,
            window=schedule.window,
            backlog=schedule.backlog,
            pace=Pace.REAL,
            forget_s=1.5 * schedule.expires_s,
        )

    def _uplink(self, name: str, incarnation: str) -> Uplink:
        schedule = self.schedule
        if not schedule.durable:
            self.outbox = FillingOutbox(self._full)
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
