"""A simulated process: real stages behind the routing of a real ``Runner``, one step at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pipeline import wire
from pipeline.errors import DropMessage
from pipeline.host import Host
from pipeline.link import LinkEvents
from pipeline.messages import HardExample, Inferred, Message, StageState, Tick
from pipeline.routes import filters
from pipeline.runner import Runner
from pipeline.stage import Stage, StageName
from tests.simulation.doubles import boxes, number_of
from tests.simulation.faults import SERVICE, STREAM, Fault
from tests.simulation.met import Met
from tests.simulation.network import SimulatedLink

if TYPE_CHECKING:
    from tests.simulation.world import World

PAUSE_S: Final = 0.05
"""A process that has run does not tick again for so long, or a reader would read on and on at one moment."""


class Process:
    """A process: its stages behind the routing of a real ``Runner``, one step at a time."""

    def __init__(self, world: World, name: str, incarnation: str, stages: Mapping[StageName, Stage]) -> None:
        self.world, self.name, self.alive = world, name, True
        self.state = StageState(name, incarnation, tuple(stages), (STREAM,), (), online=True, unsent=0, refused=0)
        worker = name if StageName.CLOUD in stages else ""
        link = SimulatedLink(world.network, name)
        self.runner = Runner(SERVICE, self.state, link, worker=worker, clock=world.now)
        for stage_name, stage in stages.items():
            self.runner.add(stage_name, stage, STREAM if stage_name is StageName.READER else "")
        self.stages = stages
        self.steps_left = math.inf
        self.handled = 0
        self.met = Met()
        self.wedged_until_s = 0.0
        self.runs_at_s = world.now()
        will = wire.encode(SERVICE, replace(self.state, online=False), world.now())
        wanted = filters(SERVICE, frozenset(stages), (STREAM,), worker)
        link.start(wanted, LinkEvents(self.receive, lambda: None, lambda _reason: None), will)
        self.runner._send(self.state, None)

    @property
    def hosts(self) -> list[Host]:
        return self.runner._hosts

    def receive(self, topic: str, payload: bytes) -> None:
        """Take a message from the network."""
        self.runner._received(topic, payload)
        self.runs_at_s = max(self.world.now(), self.wedged_until_s)

    def deliver(self, name: StageName, message: Message) -> None:
        """Take a message for a stage that did not come over the network."""
        self.runner.deliver(name, message)
        self.runs_at_s = max(self.world.now(), self.wedged_until_s)

    def wedge(self, for_s: float) -> None:
        """Do nothing for a while; what comes meanwhile waits."""
        self.wedged_until_s = self.world.now() + for_s
        self.runs_at_s = max(self.runs_at_s, self.wedged_until_s)

    def run(self) -> bool:
        """Handle all that is here in some order, then tick each stage that wants it once.

        Returns:
            Whether there was a message, or a tick made one.
        """
        ticked: set[StageName] = set()
        before = self.handled
        now_s = self.world.now()
        hosts = self.hosts
        while self.alive:
            ready = [host for host in hosts if not host.inbox.empty()]
            if ready:
                self.handled += 1
                host = ready[0] if len(ready) == 1 else self.world.draw.choice(ready)
                self._step(host, host.inbox.get_nowait())
                continue
            due = next((h for h in hosts if h.name not in ticked and h.stage.wakes_at_s <= now_s), None)
            if due is None:
                break
            ticked.add(due.name)
            self._step(due, Tick(now_s))
        self.runs_at_s = max(now_s + PAUSE_S, min([host.stage.wakes_at_s for host in hosts]))
        return self.handled > before

    def _step(self, host: Host, message: Message | None) -> None:
        assert message is not None
        if host.name is StageName.UPLINK:
            self.met.heard(message, self.world.now())
        try:
            for follows in host.stage.process(message):
                self.steps_left -= 1
                self.handled += 1
                if self.steps_left < 0:
                    self.world.struck[Fault.EDGE_DEATH] += 1
                    self.world.kill(self)
                    return
                self.world.sent(follows)
                self.met.said(follows, self.world.now())
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
        done = Inferred(example, boxes(number_of(example.image), 1), "", {})
        if bad:
            world.struck[bad] += 1
        if bad is not Fault.DAMAGED:
            world.inferred[process.state.incarnation, number_of(example.image)] += 1
        else:
            done = Inferred(example, None, "the picture is damaged", {})
        took_s = world.schedule.service_s * world.draw.uniform(0.5, 1.5)
        self._free_at_s = max(world.now(), self._free_at_s, world.stalled_until_s[self._worker]) + took_s
        ends_s = self._free_at_s - world.now()
        if bad is Fault.POISON:
            world.later(ends_s, lambda: world.kill(process))
        else:
            world.later(ends_s, lambda: process.deliver(StageName.CLOUD, done))
