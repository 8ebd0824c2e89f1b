"""No frame is lost and none has two ends, whatever happens to messages, workers, the broker, the camera and the edge.

A schedule that fails says its shape and seed, and how to see it again: see ``tests.simulation.replay``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from pipeline.messages import Result
from pipeline.model import FrameId
from stages.ledger import SqliteLedger
from tests.simulation.coverage import PROPERTY, Coverage
from tests.simulation.doubles import MemoryLedger
from tests.simulation.faults import LEAST_KINDS, OF_FRAMES, OF_MESSAGES, STREAM, Fault, Schedule, Shape
from tests.simulation.replay import live, replay
from tests.simulation.world import World

EACH: Final = 25
"""So many schedules are lived through in one test."""

MOST: Final = 2 * EACH

TESTS: Final = {Shape.EDGE_GROUP: 25, Shape.SPLIT: 20, Shape.CAMERA: 18, Shape.CAMERA_SPLIT: 18}
"""Together 2,025 schedules."""

LEAST_FRAMES: Final = 30

SHAPES: Final = pytest.mark.parametrize("shape", list(Shape), ids=str)
MANY: Final = [(shape, MOST * test) for shape, tests in TESTS.items() for test in range(tests)]


@pytest.mark.parametrize(("shape", "first_seed"), MANY, ids=str)
def test_every_frame_ends_once(shape: Shape, first_seed: int, record_property: Callable[[str, object], None]) -> None:
    """``EACH`` schedules in which enough kinds of faults happened; one that was spared is lived, but not counted."""
    coverage = Coverage()
    for seed in range(first_seed, first_seed + MOST):
        world = replay(seed, shape)
        if len(world.faults) >= LEAST_KINDS:
            assert world.schedule.frames >= LEAST_FRAMES
            coverage.add(world)
        if coverage.schedules == EACH:
            record_property(PROPERTY, coverage.text())
            return
    pytest.fail(f"of {MOST} schedules only {coverage.schedules} had {LEAST_KINDS} kinds of faults")


def test_there_are_two_thousand_schedules() -> None:
    assert sum(TESTS.values()) * EACH >= 2000


def test_a_seed_that_fails_says_how_it_is_seen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: World) -> None:
        raise AssertionError("a frame is lost")

    monkeypatch.setattr("tests.simulation.replay.nothing_lost", lost)
    with pytest.raises(AssertionError, match="a frame is lost") as caught:
        replay(7, Shape.EDGE_GROUP)
    assert caught.value.__notes__[0].endswith("python -m tests.simulation.replay edge-group 7")


@SHAPES
def test_a_seed_gives_the_same_run_again(shape: Shape) -> None:
    def told(seed: int) -> list[tuple[FrameId, int, str, float]]:
        return [(r.id, r.revision, r.reason, r.latency_ms) for r in replay(seed, shape).published]

    assert told(3) == told(3)
    assert told(3) != told(4)


@SHAPES
def test_an_undisturbed_run_tells_all_once_and_loses_nothing_to_time(shape: Shape) -> None:
    schedule = Schedule.of(1, shape, kinds=())
    assert not schedule.kinds
    schedule = replace(schedule, expires_s=60.0, budget_bytes=1 << 20, service_s=0.02, slots=4, queue=16)
    schedule = replace(schedule, hard_ratio=0.5, audit_share=0.5)
    world = live(schedule)
    assert not world.faults
    tally = world.ledger.tally(STREAM)
    assert tally.easy + tally.cloud == tally.admitted == schedule.frames - tally.dropped
    assert tally.cloud > 0
    assert any(result.verdict.audited for result in world.published)
    often = Counter((result.id, result.revision) for result in world.published)
    assert set(often.values()) == {1}
    assert len(often) == tally.easy + 2 * tally.cloud


@SHAPES
@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_each_fault_alone_is_survived(fault: Fault, shape: Shape) -> None:
    if fault is Fault.CAMERA_LOST and not shape.live:
        pytest.skip("a file is no camera")
    assert all(live(Schedule.of(seed, shape, kinds=(fault,))).faults <= {fault} for seed in range(2))


@SHAPES
def test_every_fault_happens(shape: Shape) -> None:
    possible = {fault for fault in Fault if shape.live or fault is not Fault.CAMERA_LOST}
    for seed in range(100):
        possible -= replay(seed, shape).faults
        if not possible:
            return
    pytest.fail(f"these never happen: {possible}")


@pytest.mark.parametrize("seed", range(6))
def test_the_ledger_on_disk_says_the_same_as_the_one_in_memory(seed: int, tmp_path: Path) -> None:
    shape = Shape.SPLIT if seed % 2 else Shape.EDGE_GROUP
    schedule = Schedule.of(seed, shape, kinds=(*OF_MESSAGES, *OF_FRAMES, Fault.EDGE_DEATH))
    in_memory = live(schedule)
    on_disk = live(schedule, tmp_path / "ledger.sqlite")
    assert on_disk.ledger.tally(STREAM) == in_memory.ledger.tally(STREAM)
    assert on_disk.ledger.upload_bytes(STREAM) == in_memory.ledger.upload_bytes(STREAM)
    assert _told(on_disk) == _told(in_memory)
    with closing(SqliteLedger(tmp_path / "ledger.sqlite", "the test")) as ledger:
        assert ledger.tally(STREAM) == in_memory.ledger.tally(STREAM)


def test_what_is_judged_over_time_is_the_same_whenever_the_edge_dies() -> None:
    """The edge in one process, with a budget: each frame has the verdict, and the memory, of an undisturbed run."""
    deaths = 0
    both = 0
    for seed in range(0, 40, 2):
        schedule = Schedule.of(seed, Shape.EDGE_GROUP, kinds=(Fault.EDGE_DEATH, Fault.WORKER_DEATH, Fault.DISK_FULL))
        undisturbed, disturbed = live(replace(schedule, events=())), live(schedule)
        assert isinstance(undisturbed.ledger, MemoryLedger)
        assert isinstance(disturbed.ledger, MemoryLedger)
        expected = dict(undisturbed.ledger.recalled(STREAM))
        both += len({verdict.hard for verdict in expected.values()}) == 2  # a short clip's budget may send nothing
        assert all(verdict.budget and verdict.memory for verdict in expected.values())
        assert dict(disturbed.ledger.recalled(STREAM)) == expected, f"seed {seed}"
        deaths += disturbed.deaths["edge"]
    assert deaths >= 15
    assert both >= 10


def _told(world: World) -> list[tuple[FrameId, int, str]]:
    def key(result: Result) -> tuple[FrameId, int, str]:
        return result.id, result.revision, result.reason

    return [key(result) for result in world.published]
