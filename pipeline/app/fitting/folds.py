"""What a fitted miner is worth on pictures that it was not fitted on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.app.evaluate.replay import Bench, Figure
from pipeline.app.fitting.learner import Floats, fitted
from pipeline.app.fitting.sample import Sample

RATIOS = (0.10, 0.20, 0.30, 0.50)
"""The parts of the pictures that are sent."""


def estimated_without(sample: Sample, folds: int, seed: int) -> Floats:
    """(n,) the gain of each picture, estimated by a regressor that saw neither it nor changed copies of it.

    The pictures are dealt into so many folds, and each fold is judged by what was fitted on the others (Stone,
    "Cross-validatory choice and assessment of statistical predictions", 1974).
    """
    n = sample.pictures
    dealt = np.random.default_rng(seed).permutation(n) % folds
    estimates = np.zeros(n)
    for fold in range(folds):
        out = dealt == fold
        learnt = ~np.isin(sample.seqs, sample.seqs[:n][out])
        regressor = fitted(sample.rows[learnt], sample.gains[learnt], sample.copies)
        estimates[out] = regressor.estimates(sample.rows[:n][out])
    return estimates


def figures(table: Bench, scores: npt.NDArray[np.float64]) -> dict[float, Figure]:
    """What it brings to send the first by these scores, by the part that is sent."""
    return {ratio: table.hardest(scores, ratio) for ratio in RATIOS}


def quantiles(estimates: Floats, levels: int = 100) -> tuple[float, ...]:
    """(levels + 1,) between which equal parts of the estimates lie; they rise, by a hair where many are equal."""
    ends = np.quantile(estimates, np.linspace(0, 1, levels + 1))
    least = np.arange(levels + 1) * (1e-9 + 1e-9 * np.abs(ends).max())
    return tuple(float(end) for end in np.maximum.accumulate(ends - least) + least + least)
