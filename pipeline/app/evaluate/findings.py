"""All figures of an evaluation, and the JSON that they become."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from pipeline.app.evaluate.curves import Curves, curves
from pipeline.app.evaluate.edge_better import EdgeBetter, edge_better
from pipeline.app.evaluate.joint import Joint, Sent
from pipeline.app.evaluate.replay import RATIOS, Bench, Figure, hardness
from pipeline.app.evaluate.telling import Telling, Witness
from pipeline.budget import Budget
from pipeline.model import Verdict

BYTES_RATIO: Final = 0.20
"""The part of all bytes that may be sent where bytes are what counts."""

TOLD_RATIO: Final = 0.20
"""The part of the pictures that is sent where single pictures are told of that are not."""

_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Ends:
    """A figure of the edge alone and of the cloud alone."""

    edge: float
    cloud: float


@dataclass(frozen=True, slots=True)
class Budgeted:
    """What miners reach within a budget that is spent picture by picture, as a pipeline spends it.

    Attributes:
        setting: the budget, as people write it.
        miners: what each reaches.
    """

    setting: str
    miners: Mapping[str, Figure]

    def json(self, recall: str, upload_bytes: int) -> dict[str, Any]:
        """For programs; ``share_of_bytes`` is what was spent."""
        return {
            "budget": self.setting,
            "miners": {
                name: {
                    "share": _rounded(figure.share),
                    "share_of_bytes": _rounded(figure.upload_bytes / upload_bytes),
                    **_figure(figure, recall),
                    "interval": _interval(figure),
                }
                for name, figure in self.miners.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Findings:
    """What an evaluation found.

    Attributes:
        images: how many pictures were looked at.
        upload_bytes: of all of them.
        labels: whose labels these are.
        watched: the class whose recall is told.
        by_pictures: at ``RATIOS`` of the pictures.
        by_bytes: at ``BYTES_RATIO`` of the bytes.
        by_budget: with a budget of ``BYTES_RATIO`` of the bytes, spent in the order of the pictures.
        as_set: each miner at its own threshold.
        own: the miner that was set.
        edge_better: on which pictures the little model is the better one.
        misses: the pictures that gain most of those that the own miner does not send at ``TOLD_RATIO``.
        better: the pictures that lose most by being sent.
    """

    images: int
    upload_bytes: int
    labels: Literal["human", "cloud model"]
    watched: str
    map50: Ends
    map50_95: Ends
    recall: Ends
    by_pictures: Curves
    by_bytes: Curves
    by_budget: Budgeted
    as_set: Mapping[str, Figure]
    own: str
    edge_better: EdgeBetter
    misses: Sequence[Telling]
    better: Sequence[Telling]

    def json(self) -> dict[str, Any]:
        """The report: ratios are keys such as "0.20", and what is not known is null."""
        recall = f"recall_{self.watched}"
        thresholds = {
            name: {_key(ratio): _rounded(figure.threshold) for ratio, figure in figures.items()}
            for name, figures in self.by_pictures.miners.items()
        }
        intervals = {
            name: {_key(ratio): _interval(figure) for ratio, figure in figures.items()}
            for name, figures in self.by_pictures.miners.items()
        }
        return {
            "images": self.images,
            "map50": _ends(self.map50),
            "map50_95": _ends(self.map50_95),
            **_curves(self.by_pictures, recall),
            "labels": self.labels,
            "bytes": self.upload_bytes,
            recall: _ends(self.recall),
            "by_bytes": _curves(self.by_bytes, recall),
            "by_budget": self.by_budget.json(recall, self.upload_bytes),
            "thresholds": thresholds,
            "intervals": intervals,
            "as_set": {
                name: {"share": _rounded(figure.share), **_figure(figure, recall), "interval": _interval(figure)}
                for name, figure in self.as_set.items()
            },
            "misses": {"miner": self.own, "ratio": TOLD_RATIO, "pictures": [each.json() for each in self.misses]},
            "edge_better": {**self.edge_better.json(), "worst": [each.json() for each in self.better]},
        }


def found(
    bench: Bench,
    verdicts: Mapping[str, Sequence[Verdict]],
    budgeted: tuple[Budget, Mapping[str, Sequence[Verdict]]],
    witness: Witness,
    *,
    map50_95: Ends,
    watched: str,
    human: bool,
    own: str,
) -> Findings:
    """All figures.

    Args:
        bench: the set.
        verdicts: of each miner on all pictures.
        budgeted: a budget, and their verdicts within it.
        witness: what both models report of each picture.
        map50_95: of edge and cloud alone.
        watched: the class whose recall is told.
        human: whether people drew the labels.
        own: the miner whose misses are told; one that ranks nothing has none.
    """
    joint, gains = bench.joint, bench.joint.gains()
    scores = {name: np.array([hardness(verdict) for verdict in each]) for name, each in verdicts.items()}
    budget, within = budgeted
    worse = edge_better(gains, witness.truth, witness.edge, witness.cloud)
    misses = witness.misses(gains, scores[own], own, TOLD_RATIO, bench.seed) if own in scores else []
    return Findings(
        joint.pictures,
        int(bench.upload_bytes.sum()),
        "human" if human else "cloud model",
        watched,
        Ends(*bench.ends),
        map50_95,
        _recalls(joint, bench),
        curves(bench, scores, gains, RATIOS),
        curves(bench, scores, gains, (BYTES_RATIO,), by_bytes=True),
        Budgeted(budget.setting, {name: bench.figure(_sent(within[name])) for name in verdicts}),
        {name: bench.figure(_sent(each)) for name, each in verdicts.items()},
        own,
        worse,
        misses,
        witness.better(worse),
    )


def _sent(verdicts: Sequence[Verdict]) -> Sent:
    return np.array([verdict.hard for verdict in verdicts], np.bool_)


def _recalls(joint: Joint, bench: Bench) -> Ends:
    watched = joint.classes[bench.watched]
    return Ends(*(watched.recall(sent, bench.confidences) for sent in (joint.nothing, ~joint.nothing)))


def _curves(curves: Curves, recall: str) -> dict[str, Any]:
    ratios = list(curves.random)
    bests = {ratio: curves.best(ratio) for ratio in ratios}
    return {
        "miners": {name: _by_ratio(figures, recall) for name, figures in curves.miners.items()},
        "bounds": {"random": _by_ratio(curves.random, recall), "oracle": _by_ratio(curves.oracle, recall)},
        "best": {_key(ratio): _best(name, curves, ratio) for ratio, name in bests.items()},
    }


def _best(name: str | None, curves: Curves, ratio: float) -> dict[str, Any] | None:
    if name is None:
        return None
    figure = curves.miners[name][ratio]
    return {"miner": name, "gap_recovered": _rounded(figure.gap_recovered), "interval": _interval(figure)}


def _by_ratio(figures: Mapping[float, Figure], recall: str) -> dict[str, Any]:
    return {_key(ratio): _figure(figure, recall) for ratio, figure in figures.items()}


def _figure(figure: Figure, recall: str) -> dict[str, Any]:
    return {
        "map50": _rounded(figure.map50),
        "gap_recovered": _rounded(figure.gap_recovered),
        "bytes": round(figure.upload_bytes),
        recall: _rounded(figure.recall),
    }


def _interval(figure: Figure) -> list[float | None]:
    return [_rounded(bound) for bound in figure.interval]


def _ends(ends: Ends) -> dict[str, float | None]:
    return {"edge": _rounded(ends.edge), "cloud": _rounded(ends.cloud)}


def _key(ratio: float) -> str:
    return f"{ratio:.2f}"


def _rounded(value: float | None) -> float | None:
    """As JSON has it, which knows neither NaN nor infinity."""
    return round(value, _DIGITS) if value is not None and math.isfinite(value) else None
