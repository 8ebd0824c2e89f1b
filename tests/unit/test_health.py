"""When a process is alive, and when it is ready."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from pipeline.health import Health
from pipeline.vitals import Vitals

NOW_S = 1000.0
WAITING = Vitals("reader", "gate", alive=True)


@dataclass
class Process:
    """A process that hosts threads."""

    threads: list[Vitals] = field(default_factory=lambda: [WAITING, Vitals("sink", "", alive=True)])
    fault: BaseException | None = None
    offline: str = ""

    def vitals(self) -> list[Vitals]:
        return self.threads


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def health(process: Process) -> Health:
    health = Health(lambda: NOW_S, stuck_s=60)
    health.started(process)
    return health


def test_a_process_that_loads_is_alive_and_not_ready() -> None:
    health = Health(lambda: NOW_S)
    assert health.ailment() == ""
    assert health.obstacle() == "the models are not loaded yet"


def test_a_process_that_waits_for_work_is_ready(health: Health) -> None:
    assert (health.ailment(), health.obstacle()) == ("", "")


def test_without_the_broker_it_is_alive_and_not_ready(health: Health, process: Process) -> None:
    process.offline = "it refuses connections"
    assert health.ailment() == ""
    assert health.obstacle() == "the broker is not reached: it refuses connections"
    process.offline = ""
    assert health.obstacle() == ""


@pytest.mark.parametrize(("since_s", "ailment"), [(940.0, ""), (939.0, "reader of gate has been at one Tick for 61 s")])
def test_a_stage_may_take_so_long_over_a_message(
    health: Health, process: Process, since_s: float, ailment: str
) -> None:
    process.threads[0] = replace(WAITING, doing="Tick", since_s=since_s)
    assert (health.ailment(), health.obstacle()) == (ailment, ailment)


def test_a_stage_that_waits_for_hours_is_not_stuck(health: Health, process: Process) -> None:
    process.threads[0] = replace(WAITING, doing="", since_s=0.0)
    assert health.ailment() == ""


def test_a_thread_that_has_ended_is_an_ailment_until_the_process_stops(health: Health, process: Process) -> None:
    process.threads[1] = replace(process.threads[1], alive=False)
    assert health.ailment() == "the thread of sink has ended"
    health.stopping()
    assert health.ailment() == ""
    assert health.obstacle() == "the process is stopping"


def test_a_process_that_has_failed_is_not_alive(health: Health, process: Process) -> None:
    process.fault = ZeroDivisionError("of a secret")
    assert health.ailment() == "the process has failed with ZeroDivisionError: see its log"
    health.stopping()
    assert health.ailment() == "the process has failed with ZeroDivisionError: see its log"
