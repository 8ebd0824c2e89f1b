"""What the simulated schedules have met, summed over all of them and printed at the end of a test run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Final, Self

from tests.simulation.faults import STREAM, Fault

if TYPE_CHECKING:
    from tests.simulation.world import World

PROPERTY: Final = "simulation"
"""A test report's property that has a ``Coverage`` as text."""

_SHORT: Final = {fault: f"{number:>2}" for number, fault in enumerate(Fault, 1)}


@dataclass
class Coverage:
    """Sums over schedules; it travels from the test that made it to the end of the run as text.

    Attributes:
        shapes: how many schedules each shape had.
        kinds: in how many schedules each fault happened.
        pairs: in how many two faults happened, as ``loss+delay``.
        deaths: how often each party died.
        sums: of frames, endings and events.
    """

    shapes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)

    @property
    def schedules(self) -> int:
        return self.shapes.total()

    def add(self, world: World) -> None:
        """Count one schedule that was lived through."""
        tally = world.ledger.tally(STREAM)
        self.shapes[world.schedule.shape] += 1
        self.kinds.update(world.faults)
        self.pairs.update("+".join(pair) for pair in combinations(_in_order(world.faults), 2))
        self.deaths.update({name.partition("-")[0]: often for name, often in world.deaths.items()})
        self.sums.update(
            admitted=tally.admitted,
            easy=tally.easy,
            cloud=tally.cloud,
            expired=tally.expired,
            failed=tally.failed,
            interrupted=tally.interrupted,
        )

    def text(self) -> str:
        """All of it, as one line."""
        return json.dumps(vars(self))

    @classmethod
    def of(cls, texts: Iterator[str]) -> Self:
        """The sum of what ``text`` has said."""
        total = cls()
        for text in texts:
            for name, counted in json.loads(text).items():
                getattr(total, name).update(counted)
        return total

    def lines(self) -> Iterator[str]:
        """What people read: each fault with the schedules it happened in, alone and together with each other one."""
        shapes = ", ".join(f"{often} {name}" for name, often in self.shapes.items())
        yield f"{self.schedules} schedules ({shapes})"
        yield ", ".join(f"{often} {name}" for name, often in self.sums.items())
        yield "deaths: " + ", ".join(f"{often} {name}" for name, often in sorted(self.deaths.items()))
        yield "schedules in which each fault happened, and each two:"
        yield f"{'':19}   all " + "".join(f"{_SHORT[fault]:>4}" for fault in Fault)
        for fault in Fault:
            both = ["+".join(_in_order({fault, other})) for other in Fault if other is not fault]
            cells = [f"{self.pairs[pair]:>4}" for pair in both]
            cells.insert(list(Fault).index(fault), "   -")
            yield f"{_SHORT[fault]} {fault:16} {self.kinds[fault]:>5} " + "".join(cells)


def _in_order(faults: frozenset[Fault] | set[Fault]) -> list[Fault]:
    return [fault for fault in Fault if fault in faults]
