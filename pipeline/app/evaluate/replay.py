"""Miners, replayed over what the edge saw: which pictures each sends first, and what that brings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.app.evaluate.joint import Joint, Sent
from pipeline.budget import Budget
from pipeline.model import Verdict
from stages.mining.decider import Decider
from stages.mining.memory import Memory
from stages.mining.miner import Miner, View

RATIOS: Final = (0.05, 0.10, 0.20, 0.30, 0.50)
"""The parts of a set that are sent."""

Scores = npt.NDArray[np.float64]
"""(pictures,) how hard each is."""

Order = npt.NDArray[np.intp]
"""(pictures,) in which order they are sent."""

_RANDOM_DRAWS: Final = 40


@dataclass(frozen=True, slots=True)
class Figure:
    """What sending some of the pictures brings.

    Attributes:
        share: the part of the pictures that is sent.
        map50: of the joint detections, 0 to 1.
        gap_recovered: the share of the way from edge to cloud in mAP50; NaN where the cloud is not better.
        upload_bytes: of the pictures that are sent.
        recall: the share of the objects of one class that are found; NaN where there are none.
        interval: the middle 95 % of ``gap_recovered`` over resamples of the pictures; NaN where there is none.
        threshold: the score from which on a picture is sent; None where no score decides.
    """

    share: float
    map50: float
    gap_recovered: float
    upload_bytes: float
    recall: float
    interval: tuple[float, float] = (math.nan, math.nan)
    threshold: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """A set on which miners are measured.

    Attributes:
        joint: the set as both models see it.
        upload_bytes: (pictures,) what each takes.
        watched: the index of the class whose recall is told.
        confidences: the scores from which on a box is reported, of edge and cloud.
        resamples: (B, pictures) how often each counts in each resample of the bootstrap.
        ends: mAP50 of edge and cloud.
        resampled_ends: (B, 2) the same in each resample.
        seed: of what is drawn.
    """

    joint: Joint
    upload_bytes: npt.NDArray[np.int64]
    watched: int
    confidences: tuple[float, float]
    resamples: npt.NDArray[np.float64]
    ends: tuple[float, float]
    resampled_ends: npt.NDArray[np.float64]
    seed: int

    def figure(self, sent: Sent, threshold: float | None = None) -> Figure:
        """What sending these brings."""
        return replace(self._without_interval(sent), interval=self._interval(sent), threshold=threshold)

    def hardest(self, scores: Scores, ratio: float, *, by_bytes: bool = False) -> Figure:
        """What it brings to send that part of all pictures, or of all their bytes, the hardest first."""
        order = ranked(scores, self.seed)
        count = self._count(order, ratio, by_bytes=by_bytes)
        return self.figure(self._first(order, count), float(scores[order[count - 1]]) if count else None)

    def by_chance(self, ratio: float, *, by_bytes: bool = False) -> Figure:
        """What is to be expected where pictures are drawn blindly: the mean of some draws."""
        orders = (
            np.random.default_rng([self.seed, draw]).permutation(self.joint.pictures) for draw in range(_RANDOM_DRAWS)
        )
        drawn = [
            self._without_interval(self._first(order, self._count(order, ratio, by_bytes=by_bytes))) for order in orders
        ]
        return Figure(
            float(np.mean([each.share for each in drawn])),
            float(np.mean([each.map50 for each in drawn])),
            float(np.mean([each.gap_recovered for each in drawn])),
            float(np.mean([each.upload_bytes for each in drawn])),
            float(np.mean([each.recall for each in drawn])),
        )

    def _without_interval(self, sent: Sent) -> Figure:
        edge, cloud = self.ends
        joint = self.joint.map50(sent)
        return Figure(
            float(sent.mean()),
            joint,
            (joint - edge) / (cloud - edge) if cloud > edge else math.nan,
            float(self.upload_bytes[sent].sum()),
            self.joint.classes[self.watched].recall(sent, self.confidences),
        )

    def _interval(self, sent: Sent) -> tuple[float, float]:
        better = self.resampled_ends[:, 1] > self.resampled_ends[:, 0]
        if not better.any():
            return math.nan, math.nan
        reached = np.array([self.joint.map50(sent, weights) for weights in self.resamples[better]])
        edge, cloud = self.resampled_ends[better].T
        low, high = np.quantile((reached - edge) / (cloud - edge), (0.025, 0.975))
        return float(low), float(high)

    def _count(self, order: Order, ratio: float, *, by_bytes: bool) -> int:
        """How many of the first are sent: that part of them all, or as many as fit into that part of all bytes."""
        if not by_bytes:
            return round(ratio * len(order))
        spent = np.cumsum(self.upload_bytes[order])
        return int(np.searchsorted(spent, ratio * spent[-1], side="right"))

    def _first(self, order: Order, count: int) -> Sent:
        sent = self.joint.nothing
        sent[order[:count]] = True
        return sent


def bench(
    joint: Joint,
    upload_bytes: npt.NDArray[np.int64],
    watched: int,
    confidences: tuple[float, float],
    *,
    resamples: int,
    seed: int,
) -> Bench:
    """A bench whose bootstrap draws as many pictures as there are, so often, with replacement."""
    drawn = np.random.default_rng(seed).multinomial(
        joint.pictures, np.full(joint.pictures, 1 / joint.pictures), size=resamples
    )
    weights = drawn.astype(np.float64)
    resampled_ends = np.array([joint.ends(each) for each in weights]).reshape(-1, 2)
    return Bench(joint, upload_bytes, watched, confidences, weights, joint.ends(), resampled_ends, seed)


def ranked(scores: Scores, seed: int) -> Order:
    """The hardest first; among equally hard ones, which is drawn."""
    return np.lexsort((np.random.default_rng(seed).random(len(scores)), -scores))


def hardness(verdict: Verdict) -> float:
    """The score of a verdict; where nothing was measured, hard is above all and easy below all."""
    if verdict.score is not None:
        return verdict.score
    return math.inf if verdict.hard else -math.inf


def judged(
    miners: Mapping[str, Miner], views: Sequence[View], budget: Budget | None = None
) -> dict[str, list[Verdict]]:
    """The verdicts of each miner on all pictures in turn, within a budget where there is one."""
    return {name: _in_turn(Decider(miner, budgets=_for(views, budget)), views) for name, miner in miners.items()}


def measuring(miners: Mapping[str, Miner], views: Sequence[View]) -> dict[str, list[Verdict]]:
    """The verdicts of each miner, without miners that measure nothing and so rank nothing."""
    verdicts = judged(miners, views)
    return {name: each for name, each in verdicts.items() if any(verdict.score is not None for verdict in each)}


def _for(views: Sequence[View], budget: Budget | None) -> dict[str, Budget]:
    return {view.stream: budget for view in views[:1]} if budget else {}


def _in_turn(decider: Decider, views: Sequence[View]) -> list[Verdict]:
    memory, verdicts = Memory(), []
    for view in views:
        memory, verdict = decider.decide(memory, view)
        verdicts.append(verdict)
    return verdicts
