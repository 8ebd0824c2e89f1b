"""No frame is lost and none has two ends, whatever happens to messages, workers and the edge.

A schedule that fails says its seed; ``replay`` runs it again::

    python -c "from tests.simulation.test_no_loss import replay; replay(7, split=True)"
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import structlog

from pipeline.messages import Result
from pipeline.model import FrameId
from stages.ledger import SqliteLedger
from stages.sink import LedgerStore
from tests.simulation.faults import OF_FRAMES, OF_MESSAGES, Fault, Schedule
from tests.simulation.invariants import bounded, nothing_lost
from tests.simulation.world import STREAM, World

SEEDS: Final = 150
"""So many schedules are tried in each of the two shapes."""

SHAPES: Final = pytest.mark.parametrize("split", [False, True], ids=["edge-group", "split"])


def live(schedule: Schedule, ledger: LedgerStore | None = None) -> World:
    """Live through a schedule, and check it at each moment and at its end.

    Raises:
        AssertionError: something does not hold; its notes say how to see it again.
    """
    world = World(schedule, ledger)
    try:
        with structlog.testing.capture_logs():
            world.run(bounded)
        nothing_lost(world)
    except BaseException as error:
        error.add_note(f"replay({schedule.seed}, split={schedule.split}) has {', '.join(sorted(schedule.kinds))}")
        error.add_note(f"it is {world.now():.2f} s there; {schedule}")
        raise
    return world


def replay(seed: int, *, split: bool) -> World:
    """Live through the schedule of a seed."""
    return live(Schedule.of(seed, split=split))


@SHAPES
@pytest.mark.parametrize("seeds", [range(first, first + 25) for first in range(0, SEEDS, 25)], ids=str)
def test_every_frame_ends_once(seeds: range, *, split: bool) -> None:
    for seed in seeds:
        replay(seed, split=split)


@SHAPES
def test_a_schedule_has_many_frames_and_several_faults(*, split: bool) -> None:
    schedules = [Schedule.of(seed, split=split) for seed in range(SEEDS)]
    assert min(schedule.frames for schedule in schedules) >= 30
    assert min(len(schedule.kinds) for schedule in schedules) >= 3
    assert frozenset().union(*(schedule.kinds for schedule in schedules)) == frozenset(Fault)


@SHAPES
def test_a_seed_gives_the_same_run_again(*, split: bool) -> None:
    def told(seed: int) -> list[tuple[FrameId, int, str, float]]:
        return [(r.id, r.revision, r.reason, r.latency_ms) for r in replay(seed, split=split).published]

    assert told(3) == told(3)
    assert told(3) != told(4)


@SHAPES
def test_an_undisturbed_run_tells_all_once_and_loses_nothing_to_time(*, split: bool) -> None:
    schedule = Schedule.of(1, split=split, kinds=())
    assert not schedule.kinds
    schedule = replace(schedule, expires_s=60.0, budget_bytes=1 << 20, service_s=0.02, slots=4, queue=16)
    world = live(schedule)
    tally = world.ledger.tally(STREAM)
    assert tally.easy + tally.cloud == schedule.frames
    assert tally.cloud > 0
    often = Counter((result.id, result.revision) for result in world.published)
    assert set(often.values()) == {1}
    assert len(often) == tally.easy + 2 * tally.cloud


@SHAPES
@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_each_fault_alone_is_survived(fault: Fault, *, split: bool) -> None:
    for seed in range(2):
        assert live(Schedule.of(seed, split=split, kinds=(fault,))).schedule.kinds == {fault}


@pytest.mark.parametrize("seed", range(6))
def test_the_ledger_on_disk_says_the_same_as_the_one_in_memory(seed: int, tmp_path: Path) -> None:
    schedule = Schedule.of(seed, split=seed % 2 == 1, kinds=(*OF_MESSAGES, *OF_FRAMES, Fault.EDGE_DEATH))
    in_memory = live(schedule)
    with closing(SqliteLedger(tmp_path / "ledger.sqlite", "the simulation")) as ledger:
        on_disk = live(schedule, ledger)
        assert on_disk.ledger.tally(STREAM) == in_memory.ledger.tally(STREAM)
        assert on_disk.ledger.upload_bytes(STREAM) == in_memory.ledger.upload_bytes(STREAM)
    assert _told(on_disk) == _told(in_memory)


def _told(world: World) -> list[tuple[FrameId, int, str]]:
    def key(result: Result) -> tuple[FrameId, int, str]:
        return result.id, result.revision, result.reason

    return [key(result) for result in world.published]
