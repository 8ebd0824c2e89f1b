"""A verdict in a few words, to be read on its picture."""

from __future__ import annotations

import math

from pipeline.model import BudgetState, Verdict


def explanation(verdict: Verdict) -> tuple[str, ...]:
    """What was decided, what the budget had left where there is one, and the reason: a paragraph each."""
    decision = " | ".join(filter(None, (_decided(verdict), verdict.miner, _measured(verdict))))
    return tuple(filter(None, (decision, _left(verdict.budget) if verdict.budget else "", verdict.reason)))


def _decided(verdict: Verdict) -> str:
    if verdict.duplicate_of is not None:
        decided = f"near-duplicate of frame {verdict.duplicate_of}"
    else:
        decided = "hard" if verdict.hard else "easy"
    return f"{decided}, audited" if verdict.audited else decided


def _measured(verdict: Verdict) -> str:
    if verdict.score is None:
        return ""
    score = f"{verdict.score:.3g}"
    if verdict.threshold is None:
        return f"score {score}"
    # The next number above 0 would be 5e-324 for people.
    next_above = verdict.threshold == math.nextafter(verdict.score, math.inf)
    threshold = score if next_above else f"{verdict.threshold:.3g}"
    if verdict.score >= verdict.threshold:
        return f"score {score} >= threshold {threshold}"
    return f"score {score} {'just below' if score == threshold else '<'} threshold {threshold}"


def _left(budget: BudgetState) -> str:
    unit, scale = ("kB", 1000) if budget.unit == "bytes" else (budget.unit, 1)
    left, most, cost = (f"{amount / scale:.3g}" for amount in (budget.left, budget.most, budget.cost))
    of_size = f" {unit}" if budget.unit == "bytes" else ""
    return f"budget {budget.setting} | {left} of {most} {unit} left, this frame costs {cost}{of_size}"
