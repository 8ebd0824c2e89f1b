"""Live through schedules. One that has failed is seen again by ``python -m tests.simulation.replay camera 7``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from stages.ledger import SqliteLedger
from tests.simulation.faults import Schedule, Shape
from tests.simulation.invariants import bounded, nothing_lost, outbox_first
from tests.simulation.world import World


def live(schedule: Schedule, path: Path | None = None) -> World:
    """Live through a schedule, and check it at each moment and at its end.

    Args:
        schedule: what goes wrong.
        path: of a ledger on disk. Without one, a camera has one that is removed at the end, a file one in memory.

    Raises:
        AssertionError: something does not hold; its notes say how to see it again.
    """
    with ExitStack() as stack:
        if schedule.shape.live and path is None:
            path = Path(stack.enter_context(TemporaryDirectory())) / "ledger.sqlite"
        world = World(schedule, path)
        try:
            with structlog.testing.capture_logs():
                world.run(bounded, outbox_first)
            nothing_lost(world)
        except BaseException as error:
            error.add_note(f"replay: .venv/bin/python -m tests.simulation.replay {schedule.shape} {schedule.seed}")
            error.add_note(f"it has {', '.join(sorted(schedule.kinds))}; it is {world.now():.2f} s there; {schedule}")
            raise
        finally:
            if isinstance(world.ledger, SqliteLedger):
                world.ledger.close()
    return world


def replay(seed: int, shape: Shape) -> World:
    """Live through the schedule of a seed."""
    return live(Schedule.of(seed, shape))


if __name__ == "__main__":
    lived = replay(int(sys.argv[2]), Shape(sys.argv[1]))
    sys.stdout.write(f"{lived.ledger.tally('gate')} after {', '.join(sorted(lived.faults))}\n")
