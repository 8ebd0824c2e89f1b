from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gain import Estimate, Found
from stages.gain import gain_of, proportion

RUNS = 4000
EASY_FRAMES = 30_000


@cache
def _bounds(found: int, seen: int, frames: int) -> tuple[float, float]:
    estimate = proportion(found, seen, frames)
    return estimate.low, estimate.high


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05, 0.15, 0.4])
def test_the_interval_covers_the_truth_in_95_of_100_runs_of_200_audited_frames(rate: float) -> None:
    draws = np.random.default_rng(round(1e4 * rate))
    seen = np.maximum(200, draws.binomial(EASY_FRAMES, 250 / EASY_FRAMES, RUNS))
    truth = draws.binomial(EASY_FRAMES, rate, RUNS)
    found = draws.hypergeometric(truth, EASY_FRAMES - truth, seen)
    assert 0.93 <= _covered(found, seen, truth) <= 0.97
    assert np.mean(found / seen - truth / EASY_FRAMES) == pytest.approx(0, abs=4 * math.sqrt(rate / 250 / RUNS))


@pytest.mark.parametrize("rate", [0.003, 0.005])
def test_it_covers_rare_misses_in_runs_of_many_lengths(rate: float) -> None:
    draws = np.random.default_rng(7)
    seen = draws.integers(200, 4000, RUNS)
    truth = draws.binomial(EASY_FRAMES, rate, RUNS)
    found = draws.hypergeometric(truth, EASY_FRAMES - truth, seen)
    assert 0.93 <= _covered(found, seen, truth) <= 0.97


@pytest.mark.parametrize("rate", [0.0003, 0.0008, 0.001, 0.0018, 0.0026, 0.004, 0.0049, 0.9951, 0.9974, 0.9992])
def test_where_next_to_nothing_is_to_be_found_it_covers_no_less(rate: float) -> None:
    draws = np.random.default_rng(8)
    seen = np.full(RUNS, 200)
    truth = np.full(RUNS, round(EASY_FRAMES * rate))
    found = draws.hypergeometric(truth, EASY_FRAMES - truth, seen)
    assert _covered(found, seen, truth) >= 0.93


def test_a_large_share_of_few_frames_is_covered_too() -> None:
    draws = np.random.default_rng(9)
    truth = draws.binomial(500, 0.1, RUNS)
    found = draws.hypergeometric(truth, 500 - truth, 300)
    covered = np.mean([_in(_bounds(int(k), 300, 500), t / 500) for k, t in zip(found, truth, strict=True)])
    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize(("rate", "answered"), [(0.02, 3000), (0.1, 3000), (0.1, 1500)])
def test_shares_of_all_frames_and_the_recall_are_covered(rate: float, answered: int) -> None:
    draws = np.random.default_rng(10)
    hard, easy = 3000, 12_000
    covered = np.zeros(2)
    for _ in range(RUNS):
        truth = draws.binomial(hard, 0.5), draws.binomial(easy, rate)
        counts = [
            Found(frames, seen, k := int(draws.hypergeometric(right, frames - right, seen)), k)
            for frames, seen, right in ((hard, answered, truth[0]), (easy, 250, truth[1]))
        ]
        gain = gain_of(*counts)
        assert gain.corrected
        assert gain.recall
        covered += (
            _in((gain.corrected.low, gain.corrected.high), sum(truth) / (hard + easy)),
            _in((gain.recall.low, gain.recall.high), truth[0] / sum(truth)),
        )
    assert np.all((covered / RUNS >= 0.93) & (covered / RUNS <= 0.97)), covered / RUNS


def test_wilson_gives_what_the_literature_gives() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, and 15 of 148
    assert _rounded(proportion(81, 263, 10**9)) == (0.2553, 0.3662)
    assert _rounded(proportion(15, 148, 10**9)) == (0.0624, 0.1605)


def test_where_all_were_seen_nothing_is_left_to_guess() -> None:
    gain = gain_of(Found(10, 10, 4, 5), Found(30, 30, 0, 3))
    assert gain.missed == Estimate(0.1, 0.1, 0.1)
    assert gain.corrected == Estimate(0.2, 0.2, 0.2)
    assert gain.recall == Estimate(0.625, 0.625, 0.625)


def test_without_audited_frames_there_is_no_estimate() -> None:
    gain = gain_of(Found(10, 10, 4, 5), Found(30))
    assert gain.missed is gain.corrected is gain.recall is None
    assert gain_of(Found(), Found()).missed is None


def test_where_every_frame_is_hard_the_miner_misses_none() -> None:
    gain = gain_of(Found(10, 8, 4, 4), Found())
    assert gain.recall == Estimate(1, 1, 1)
    assert gain.corrected
    assert 0.3 < gain.corrected.low < 0.5 < gain.corrected.high < 0.7


def test_where_no_frame_is_hard_the_miner_finds_none() -> None:
    assert gain_of(Found(), Found(100, 50, 5, 5)).recall == Estimate(0, 0, 0)


@given(st.data())
def test_bounds_hold_the_share_and_lie_in_0_to_1(data: st.DataObject) -> None:
    strata = []
    for _ in range(2):
        frames = data.draw(st.integers(0, 10**6))
        answered = data.draw(st.integers(0, frames))
        corrected = data.draw(st.integers(0, answered))
        strata.append(Found(frames, answered, data.draw(st.integers(0, corrected)), corrected))
    gain = gain_of(*strata)
    for estimate in (gain.missed, gain.corrected, gain.recall):
        if estimate:
            assert 0 <= estimate.low <= estimate.share <= estimate.high <= 1


@pytest.mark.parametrize(("found", "seen", "frames"), [(2, 1, 5), (0, 0, 5), (1, 6, 5), (-1, 2, 5)])
def test_what_is_no_sample_is_refused(found: int, seen: int, frames: int) -> None:
    with pytest.raises(ValueError, match="no sample"):
        proportion(found, seen, frames)


def _covered(found: np.ndarray, seen: np.ndarray, truth: np.ndarray) -> float:
    hits = [
        _in(_bounds(int(k), int(n), EASY_FRAMES), t / EASY_FRAMES) for k, n, t in zip(found, seen, truth, strict=True)
    ]
    return float(np.mean(hits))


def _in(bounds: tuple[float, float], truth: float) -> bool:
    return bounds[0] - 1e-6 <= truth <= bounds[1] + 1e-6


def _rounded(estimate: Estimate) -> tuple[float, float]:
    return round(estimate.low, 4), round(estimate.high, 4)
