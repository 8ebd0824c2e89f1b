"""The miners' maths, against Sedna's as it is written in its hard_example_mining.py."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.model import Detections, Verdict
from stages.mining.by_chance import uniform
from stages.mining.learned import Learned
from stages.mining.miner import Miner, View
from stages.mining.registry import MINERS, make_miner

scores = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30)
shares = st.integers(0, 1000).map(lambda n: n / 1000) | st.floats(0, 1)
BOX_MINERS = ("IBT", "Threshold", "CrossEntropy")


def detections(found: list[float]) -> Detections:
    n = len(found)
    return Detections(np.zeros((n, 4), np.float32), np.array(found, np.float32), np.zeros(n, np.int32), ("on",))


def view(found: list[float], *, raw: list[float] | None = None, seq: int = 1, stream: str = "gate") -> View:
    everything = found if raw is None else raw
    return View(stream, seq, seq / 25, 640, 360, detections(everything), detections(found), 0.3)


def judge(name: str, found: list[float], **parameters: object) -> Verdict:
    return make_miner(name, parameters).judge(view(found))


# Sedna's formulas, in its own steps


def sedna_ibt(found: list[float], threshold_box: float, threshold_img: float) -> bool:
    low = [score for score in found if score <= threshold_box]
    return len(low) / len(found) >= (1 - threshold_img)


def sedna_threshold(found: list[float], threshold: float) -> bool:
    return sum(found) / len(found) < threshold


def sedna_confidence(found: list[float]) -> float:
    log_sum = 0.0
    for score in found:
        log_sum += score * math.log(score)
    return 1 + 1.0 * log_sum / math.log(len(found))


@given(scores, shares, shares)
def test_ibt_is_sednas(found: list[float], box: float, img: float) -> None:
    low = sum(score <= box for score in found)
    assume(all(abs(score - box) > 1e-6 or score == box for score in found))
    assume(abs(low / len(found) - (1 - img)) > 1e-6)
    assert judge("IBT", found, threshold_box=box, threshold_img=img).hard == sedna_ibt(found, box, img)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(0, 100))
def test_ibt_compares_as_written_in_decimals(parts: tuple[int, int], percent: int) -> None:
    low, n = parts
    verdict = judge("IBT", [0.4] * low + [0.8] * (n - low), threshold_img=str(percent / 100))
    assert verdict.hard == (Fraction(low, n) >= 1 - Fraction(percent, 100))


def test_ibt_takes_a_tenth_at_nine_tenths_and_three_tenths_at_seven() -> None:
    assert judge("IBT", [0.4] + [0.8] * 9, threshold_img="0.9").hard
    assert judge("IBT", [0.4] * 3 + [0.8] * 7, threshold_img="0.7").hard
    assert not judge("IBT", [0.4] + [0.8] * 10, threshold_img="0.9").hard


def test_a_score_on_the_box_threshold_is_low() -> None:
    for box in (0.3, 0.5, 0.7):
        assert judge("IBT", [box], threshold_box=box).score == 1


@given(scores, shares)
def test_threshold_is_sednas(found: list[float], threshold: float) -> None:
    assume(abs(sum(found) / len(found) - threshold) > 1e-6)
    assert judge("Threshold", found, threshold=threshold).hard == sedna_threshold(found, threshold)


def test_a_mean_on_the_threshold_is_not_hard() -> None:
    for score in (0.3, 0.5, 0.7):
        verdict = judge("Threshold", [score, score], threshold=score)
        assert not verdict.hard
        assert verdict.score is not None
        assert verdict.threshold is not None
        assert verdict.score < verdict.threshold
        assert verdict.score == pytest.approx(1 - score)


@given(scores, st.floats(-3, 2))
def test_cross_entropy_is_sednas_where_that_has_a_value(found: list[float], threshold: float) -> None:
    assume(len(found) > 1 and min(found) > 0)
    confidence = sedna_confidence(found)
    assume(abs(confidence - threshold) > 1e-6)
    assert judge("CrossEntropy", found, threshold_cross_entropy=threshold).hard == (confidence < threshold)


@pytest.mark.parametrize(
    ("found", "score"),
    [([0.0, 0.5], 0.5), ([0.0], 0.0), ([1.0], 0.0), ([0.5], 0.5), ([0.0, 0.0], 0.0), ([1.0] * 3, 0.0)],
)
def test_cross_entropy_has_a_value_where_sedna_crashes(found: list[float], score: float) -> None:
    assert judge("CrossEntropy", found).score == pytest.approx(score)


# What holds for all


@st.composite
def miners(draw: st.DrawFn) -> Miner:
    # Learned wants boxes of the classes that it was fitted for: see test_learned.py
    names = sorted(name for name, kind in MINERS.items() if not kind.needs_picture and name != Learned.name)
    name = draw(st.sampled_from(names))
    fields = {
        "IBT": ("threshold_box", "threshold_img", "empty_low"),
        "Threshold": ("threshold", "empty_low"),
        "CrossEntropy": ("threshold_cross_entropy", "empty_low"),
        "Random": ("random_ratio",),
        "LeastConfidence": ("least",),
        "Margin": ("least",),
        "Entropy": ("least",),
        "EmptySuspicious": ("threshold",),
    }.get(name, ())
    parameters: dict[str, Any] = {field: draw(shares) for field in fields}
    if "least" in fields:
        parameters["aggregate"] = draw(st.sampled_from(["sum", "max", "mean", "top"]))
        parameters["threshold"] = draw(st.floats(0, 20))
    if name in BOX_MINERS:
        parameters["empty"] = draw(st.sampled_from(["easy", "hard", "suspicious"]))
    return make_miner(name, parameters)


@given(miners(), st.lists(st.floats(0, 1, width=32), max_size=30), st.integers(1, 10**9))
def test_the_numbers_say_the_same_as_the_decision(miner: Miner, raw: list[float], seq: int) -> None:
    verdict = miner.judge(view([score for score in raw if score >= 0.3], raw=raw, seq=seq))
    assert isinstance(verdict.hard, bool)
    assert verdict.miner == miner.name
    assert verdict.reason
    if verdict.score is not None and verdict.threshold is not None:
        assert math.isfinite(verdict.score)
        assert verdict.hard == (verdict.score >= verdict.threshold)


@given(miners(), scores, st.randoms(use_true_random=False))
def test_the_order_of_boxes_changes_nothing(miner: Miner, found: list[float], random: Any) -> None:
    mixed = list(found)
    random.shuffle(mixed)
    assert miner.judge(view(found)) == miner.judge(view(mixed))


@pytest.mark.parametrize("name", BOX_MINERS)
def test_a_score_that_is_no_number_is_not_easy(name: str) -> None:
    seen = detections([0.9])
    seen.scores[0] = np.nan
    broken = View("gate", 1, 0.0, 640, 360, seen, seen, 0.3)
    assert make_miner(name, {}).judge(broken).hard


# Frames without boxes


@pytest.mark.parametrize("name", BOX_MINERS)
@pytest.mark.parametrize(
    ("empty", "raw", "hard"),
    [
        ("easy", [0.29], False),
        ("hard", [], True),
        ("suspicious", [], False),
        ("suspicious", [0.09], False),
        ("suspicious", [0.1], True),
        ("suspicious", [0.05, 0.29], True),
    ],
)
def test_a_frame_without_boxes_is_what_empty_says(name: str, empty: str, raw: list[float], hard: bool) -> None:  # noqa: FBT001
    verdict = make_miner(name, {"empty": empty}).judge(view([], raw=raw))
    assert verdict.hard == hard
    assert f"empty={empty}" in verdict.reason


def test_the_suspicious_band_has_an_upper_end() -> None:
    miner = make_miner("IBT", {"empty_low": "0.05", "empty_high": "0.2"})
    hard = [miner.judge(view([], raw=[best])).hard for best in (0.04, 0.05, 0.19, 0.2, 0.29)]
    assert hard == [False, True, True, False, False]
    assert miner.judge(view([], raw=[0.29])).score is None, "a budget would take a high score for a hard frame"


@given(st.lists(st.floats(0, 1, width=32), max_size=5), st.integers(1, 10**6))
def test_cloud_only_is_always_hard_and_edge_only_never(found: list[float], seq: int) -> None:
    assert make_miner("CloudOnly", {}).judge(view(found, seq=seq)).hard
    assert not make_miner("EdgeOnly", {}).judge(view(found, seq=seq)).hard


# Random


def test_random_is_hard_about_as_often_as_said() -> None:
    for ratio in (0.1, 0.3, 0.8):
        miner = make_miner("Random", {"random_ratio": str(ratio)})
        hard = sum(miner.judge(view([], seq=seq)).hard for seq in range(1, 4001))
        assert hard / 4000 == pytest.approx(ratio, abs=0.03)


def test_random_never_at_0_and_always_at_1() -> None:
    for ratio, hard in ((0, False), (1, True)):
        miner = make_miner("Random", {"random_ratio": ratio})
        assert all(miner.judge(view([], seq=seq)).hard is hard for seq in range(1, 500))


@given(st.permutations(range(1, 40)))
def test_random_does_not_depend_on_the_order(order: list[int]) -> None:
    miner = make_miner("Random", {})
    in_order = {seq: miner.judge(view([], seq=seq)).hard for seq in range(1, 40)}
    assert {seq: miner.judge(view([], seq=seq)).hard for seq in order} == in_order


def test_random_differs_by_seed_and_stream() -> None:
    def draws(seed: int, stream: str) -> list[bool]:
        miner = make_miner("Random", {"random_ratio": 0.5}, seed)
        return [miner.judge(view([], seq=seq, stream=stream)).hard for seq in range(1, 101)]

    assert draws(1, "gate") == draws(1, "gate")
    assert draws(1, "gate") != draws(2, "gate")
    assert draws(1, "gate") != draws(1, "yard")


def test_a_draw_is_the_same_on_every_machine() -> None:
    assert uniform(0, "gate", 1) == pytest.approx(0.06450997447140205, abs=1e-12)
