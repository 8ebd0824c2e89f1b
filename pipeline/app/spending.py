"""What a replay spent of its budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.app.sizes import size_text
from pipeline.budget import Budget
from stages.ledger_report import Paid


@dataclass(frozen=True, slots=True)
class Spending:
    """A stream's budget, and what became of it.

    Attributes:
        setting: the budget as it is written.
        unit: ``bytes`` of the JPEGs that travel, or ``frames``.
        allowed: what could be spent, over the whole stream.
        spent: on hard and audited frames.
    """

    setting: str
    unit: str
    allowed: float
    spent: float

    @property
    def share(self) -> float:
        """The part of what could be spent; 0 where there was nothing."""
        return self.spent / self.allowed if self.allowed else 0.0

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {**asdict(self), "allowed": round(self.allowed, 3), "share": round(self.share, 4)}

    def __str__(self) -> str:
        """For people."""
        if self.unit == "bytes":
            amounts = f"{size_text(round(self.spent))} of {size_text(round(self.allowed))}"
        else:
            amounts = f"{self.spent:.0f} of {self.allowed:.1f} frames"
        over = "; audited frames, and what costs more than the bucket holds, are paid off later"
        return f"{self.setting}: {amounts} spent, {self.share:.0%}{over if self.spent > self.allowed else ''}"


def spending(budget: Budget, paid: Paid) -> Spending:
    """What was spent, and what could have been."""
    return Spending(budget.setting, budget.unit, budget.income(paid.frames, paid.span_s, paid.whole), paid.spent)


def spendings(budgets: Mapping[str, Budget], paid: Mapping[str, Paid | None]) -> dict[str, Spending]:
    """Those of all streams that have a budget, and a frame that was decided within it."""
    return {
        stream: spending(budget, done) for stream, budget in budgets.items() if (done := paid.get(stream)) is not None
    }
