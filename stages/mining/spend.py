"""Spending a budget on the hardest frames: a running quantile sets the threshold, a token bucket bounds the burst."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import replace
from typing import Final

from pipeline.budget import Budget
from pipeline.model import BudgetState, Verdict
from stages.mining.memory import Purse
from stages.mining.miner import Judged, View

BURST_S: Final = 20.0
"""The bucket holds the income of so long: in 10 minutes at most a thirtieth is spent beyond the budget."""

BURST_PART: Final = 0.2
"""But at most that of so much of the time that has passed, or a short clip would leave most of its budget in there."""

LEAST_FRAMES: Final = 1.5
"""It holds so many frames at least, or nothing could be saved up for one."""

SAMPLES: Final = 256
WINDOW_S: Final = 300.0
"""The quantile is that of at most so many scores, spread over the last five minutes.

Before that they are all there were, and once these are too many, those spread over the last two thirds of the time."""

LEAST_SAMPLES: Final = 32
"""So many are kept however old they are."""

LEVEL: Final = 0.4
"""So full is the bucket while as much is spent as comes in, and the quantile is right. The rest is room for a lull."""

_FORGETS: Final = 0.05
_TINY: Final = 1e-9
_BYTES_A_PIXEL: Final = 0.15
"""A JPEG of quality 85 before one has been seen."""

Rank = tuple[float, float]


def spend(purse: Purse | None, budget: Budget, view: View, verdict: Verdict, draw: float) -> tuple[Purse, Verdict]:
    """Decide whether the budget goes to this frame, and what is left of it then. It is a pure function.

    The bucket (a token bucket, as in RFC 2697) is empty at first and fills in media time, so at no time has more been
    spent than has come in, but for audited frames and one that costs more than the bucket holds. Of the frames with a
    score, the part that can be paid for is sent: those above the quantile of the last minutes' scores that leaves this
    part. The part grows as the bucket fills and shrinks as it empties, so that no income is lost and no burst ends it;
    when it is full, any frame with a score is sent. What a frame costs is known before it is decided: one that is
    wanted is encoded, which it must be to travel; of others it is the mean of those before, and the first that has a
    score is encoded to begin with. Where what all frames take counts, each is encoded.

    Args:
        purse: what is left from the frames before; None at first.
        budget: what may be spent.
        view: the frame.
        verdict: the miner's word; one without a score costs nothing, and is sent only if it is hard.
        draw: from 0 to 1, to tell equal scores apart.
    """
    now = _with_income(purse or _first(budget, view), budget, view)
    score = verdict.score if verdict.score is not None else 1.0 if verdict.hard else None
    if score is None:
        return now, replace(verdict, hard=False, budget=_state(now, budget, view))
    now = _with_score(now, view.media_s, (score, draw))
    if not now.costs:  # one frame is encoded to know what frames cost
        now = _with_cost(now, _cost(now, budget, view))
    least = _least(now, budget)
    full = now.left + _income(budget, now.interval_s, now.cost) > _most(now, budget)
    wanted = full or (score, draw) >= least
    enough = now.left >= min(now.cost, _most(now, budget))
    if not (wanted and enough):
        refused = _refused(budget, verdict, score, least, wanted=wanted)
        return now, replace(refused, budget=_state(now, budget, view))
    cost = _cost(now, budget, view)
    state = replace(_state(now, budget, view), cost=cost)
    after = now if budget.by_size else _with_cost(now, cost)
    if cost > now.left and now.left < _most(now, budget) - 1e-9:
        return after, replace(_refused(budget, verdict, score, least, wanted=True), budget=state)
    threshold = min(score, least[0])
    reason = f"{_found(verdict)}; the budget of {budget} reaches down to {threshold:.3g} now"
    sent = replace(verdict, hard=True, score=score, threshold=threshold, reason=reason, budget=state)
    return replace(after, left=now.left - cost), sent


def paid(purse: Purse, budget: Budget, view: View) -> tuple[Purse, BudgetState]:
    """What is left when this frame is sent whatever is left, which may be less than nothing; and the state before."""
    cost = _cost(purse, budget, view)
    return replace(purse, left=purse.left - cost), replace(_state(purse, budget, view), cost=round(cost, 3))


def _cost(purse: Purse, budget: Budget, view: View) -> float:
    if budget.unit == "frames":
        return 1.0
    size = view.upload_bytes
    return purse.cost if size is None else float(size)


def _first(budget: Budget, view: View) -> Purse:
    cost = 1.0 if budget.unit == "frames" else view.width * view.height * _BYTES_A_PIXEL
    return Purse(view.media_s, view.media_s, view.media_s, 0.0, 0.0, 0.0, cost, 0, ())


def _with_income(purse: Purse, budget: Budget, view: View) -> Purse:
    since_s = view.media_s - purse.clock_s
    passed_s = max(0.0, since_s)
    interval_s = _mean(purse.interval_s, passed_s)
    # Where time goes back, as that of a camera does which states another frame rate after a restart, it goes on there.
    began_s = purse.began_s + min(0.0, since_s)
    now = replace(purse, began_s=began_s, clock_s=view.media_s, interval_s=interval_s)
    if budget.by_size:
        now = _with_cost(now, _cost(now, budget, view))
    income = _income(budget, passed_s, _cost(now, budget, view) if budget.by_size else now.cost)
    return replace(now, left=min(_most(now, budget), now.left + income))


def _with_score(purse: Purse, media_s: float, rank: Rank) -> Purse:
    every_s = _mean(purse.scored_interval_s, max(0.0, media_s - purse.scored_s))
    scores = purse.scores
    spread_s = min(WINDOW_S, media_s - purse.began_s)
    if not scores or not 0 <= media_s - scores[-1][0] < spread_s / SAMPLES:
        old = sum(1 for at_s, _, _ in scores[: max(0, len(scores) + 1 - LEAST_SAMPLES)] if media_s - at_s > WINDOW_S)
        scores = (*scores[max(old, len(scores) + 1 - SAMPLES) :], (media_s, *rank))
    return replace(purse, scored_s=media_s, scored_interval_s=every_s, scores=scores)


def _with_cost(purse: Purse, cost: float) -> Purse:
    """The first cost that is known takes the place of what was assumed."""
    mean = purse.cost + max(_FORGETS, 1 / (purse.costs + 1)) * (cost - purse.cost)
    return replace(purse, cost=mean, costs=purse.costs + 1)


def _mean(before: float, value: float) -> float:
    return before + _FORGETS * (value - before) if before else value


def _income(budget: Budget, passed_s: float, cost: float) -> float:
    return budget.share * cost if budget.per_s is None else budget.per_s * passed_s


def _per_s(purse: Purse, budget: Budget) -> float:
    if budget.per_s is not None:
        return budget.per_s
    return budget.share * purse.cost / (purse.interval_s or 1.0)


def _most(purse: Purse, budget: Budget) -> float:
    burst_s = min(BURST_S, BURST_PART * (purse.clock_s - purse.began_s))
    return max(burst_s * _per_s(purse, budget), LEAST_FRAMES * purse.cost)


def _least(purse: Purse, budget: Budget) -> Rank:
    """The score, and the draw among its equals, from which on a frame is sent."""
    level = min(1.0, max(0.0, purse.left / _most(purse, budget)))
    part = _per_s(purse, budget) * purse.scored_interval_s / purse.cost * _times(level)
    scores = sorted(score for _, score, _ in purse.scores)
    sent = min(round(part * len(scores)), len(scores))
    if sent == 0:
        return math.nextafter(scores[-1], math.inf), 0.0
    least = scores[-sent]
    equals = sorted(draw for _, score, draw in purse.scores if score == least)
    return least, equals[len(scores) - sent - bisect_left(scores, least)]


def _times(level: float) -> float:
    """By what the level multiplies the part that is sent: 1 at ``LEVEL``, near 0 and nearly endless at the ends.

    In between it hardly counts. Each frame that is sent moves the level, and a threshold that follows it closely does
    not choose the hardest any more: with f / (1 - f), shuffled photographs recovered some 2 points less of the gap.
    """
    odds = math.log(max(level, _TINY) / max(1 - level, _TINY)) - math.log(LEVEL / (1 - LEVEL))
    return math.exp(odds / 4 + odds**3 / 20)


def _found(verdict: Verdict) -> str:
    """What the miner measured, without its own threshold, which decides nothing here."""
    return verdict.found if isinstance(verdict, Judged) else verdict.reason


def _refused(budget: Budget, verdict: Verdict, score: float, least: Rank, *, wanted: bool) -> Verdict:
    above = math.nextafter(score, math.inf)
    threshold = max(least[0], above)
    which = f"above {score:.3g}" if threshold == above else f"of {threshold:.3g} or more"
    why = "has nothing left for it" if wanted else f"goes to frames {which} now"
    reason = f"{_found(verdict)}; the budget of {budget} {why}"
    return replace(verdict, hard=False, score=score, threshold=threshold, reason=reason)


def _state(purse: Purse, budget: Budget, view: View) -> BudgetState:
    cost = _cost(purse, budget, view) if budget.by_size else purse.cost
    return BudgetState(
        budget.setting, budget.unit, round(purse.left, 3), round(_most(purse, budget), 3), round(cost, 3)
    )
