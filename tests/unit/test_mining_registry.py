"""Miners by name, and what people may write wrong."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigError
from stages.mining.ibt import IBT
from stages.mining.miner import Miner
from stages.mining.registry import MINERS, make_miner


def test_who_looks_back_says_so() -> None:
    """What is remembered is kept for those who say so, and asked for after a restart."""
    looks_back = {name for name, kind in MINERS.items() if kind.judge_next is not Miner.judge_next}
    assert {name for name, kind in MINERS.items() if kind.over_time} == looks_back == {"Flicker", "Motion"}


def test_names_and_defaults() -> None:
    defaults = {name: make_miner(name, {}).model_dump() for name in MINERS}
    empty = {"empty": "suspicious", "empty_low": 0.1, "empty_high": 1.0}
    boxes = {"aggregate": "sum", "top": 5, "least": 0.2}
    assert defaults == {
        "IBT": {"threshold_box": 0.5, "threshold_img": 0.5, **empty},
        "Threshold": {"threshold": 0.5, **empty},
        "CrossEntropy": {"threshold_cross_entropy": 0.5, **empty},
        "LeastConfidence": {"threshold": 4.3, **boxes},
        "Margin": {"threshold": 5.7, **boxes},
        "Entropy": {"threshold": 12.5, **boxes},
        "UncertaintyBand": {"low": 0.3, "high": 0.8, "least_boxes": 7},
        "DifficultCase": {"low": 0.3, "high": 0.6, "many": 8, "small": 0.0005},
        "EmptySuspicious": {"threshold": 0.1},
        "Learned": {"model": "learned", "threshold": 0.75},
        "Random": {"random_ratio": 0.3, "seed": 0},
        "CloudOnly": {},
        "EdgeOnly": {},
        "Flicker": {"edge": 0.02, "events": 1, "gap_s": 2.0, "link_iou": 0.3},
        "Blur": {"sharpness": 620.0},
        "Motion": {"difference": 20.0, "gap_s": 10.0},
    }
    assert {name: kind.name for name, kind in MINERS.items()} == {name: name for name in MINERS}


def test_parameters_may_be_strings() -> None:
    miner = make_miner("IBT", {"threshold_box": "0.9", "threshold_img": " 9e-1 ", "empty": "easy"})
    assert miner == IBT(threshold_box=0.9, threshold_img=0.9, empty="easy", empty_low=0.1, empty_high=1.0)


def test_a_seed_in_the_parameters_wins() -> None:
    assert make_miner("Random", {}, seed=7).model_dump()["seed"] == 7
    assert make_miner("Random", {"seed": "8"}, seed=7).model_dump()["seed"] == 8


@pytest.mark.parametrize(
    ("name", "parameters", "field", "text"),
    [
        (
            "ibt",
            {},
            "miner.name",
            "there is no miner 'ibt'; did you mean 'IBT'? known are IBT, Threshold, CrossEntropy",
        ),
        ("Entropi", {}, "miner.name", "did you mean 'Entropy'?"),
        ("UncertaintyBand", {"low": 0.5, "high": 0.4}, "miner", "low 0.5 is above high 0.4; swap them"),
        ("DifficultCase", {"low": 0.5, "high": 0.5}, "miner", "low 0.5 is not below high 0.5; choose a lower one"),
        ("zzz", {}, "miner.name", "there is no miner 'zzz'; known are IBT, Threshold, CrossEntropy, Least"),
        (
            "IBT",
            {"threshold_img": "abc"},
            "miner.threshold_img",
            "'abc' is not a number from 0 to 1; the default is 0.5",
        ),
        ("IBT", {"threshold_img": "1.5"}, "miner.threshold_img", "'1.5' is not a number from 0 to 1"),
        ("IBT", {"threshold_img": "nan"}, "miner.threshold_img", "'nan' is not a number from 0 to 1"),
        ("IBT", {"threshold_box": None}, "miner.threshold_box", "None is not a number from 0 to 1"),
        (
            "IBT",
            {"threshold_boy": 1},
            "miner.threshold_boy",
            "no parameter 'threshold_boy'; did you mean 'threshold_box'?",
        ),
        ("IBT", {"x": 1}, "miner.x", "IBT has no parameter 'x'; known are empty, empty_low, empty_high, threshold_box"),
        (
            "IBT",
            {"empty": "maybe"},
            "miner.empty",
            "'maybe' is not one of easy, hard, suspicious; the default is suspicious",
        ),
        ("IBT", {"empty_low": 0.4, "empty_high": 0.2}, "miner", "empty_low 0.4 is above empty_high 0.2; swap them"),
        ("CrossEntropy", {"threshold_cross_entropy": "inf"}, "miner.threshold_cross_entropy", "'inf' is not a number;"),
        ("Random", {"seed": "x"}, "miner.seed", "'x' is not a whole number; the default is 0"),
        ("EdgeOnly", {"threshold": 1}, "miner.threshold", "EdgeOnly has no parameter 'threshold'; it takes none"),
    ],
)
def test_what_is_wrong_is_named_with_the_remedy(
    name: str, parameters: dict[str, object], field: str, text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_miner(name, parameters)
    assert caught.value.field == field
    assert text in str(caught.value)


def test_a_miner_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        make_miner("Random", {}).random_ratio = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(MINERS))
def test_a_wrong_value_of_any_parameter_is_told_what_may_be(name: str) -> None:
    for parameter, field in MINERS[name].model_fields.items():
        if field.annotation is str:
            continue
        for wrong in ("abc", "", [], None):
            with pytest.raises(ConfigError) as caught:
                make_miner(name, {parameter: wrong})
            assert str(caught.value).startswith(f"miner.{parameter}: {wrong!r} is not ")
            assert "the default is" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "parameters", "told"),
    [
        ("LeastConfidence", {"top": "0"}, "'0' is not a whole number from 1; the default is 5"),
        ("Flicker", {"gap_s": "0"}, "'0' is not a number above 0; the default is 2.0"),
        ("DifficultCase", {"small": "2"}, "'2' is not a number above 0 to 1; the default is"),
    ],
)
def test_limits_are_said_where_there_are_any(name: str, parameters: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_miner(name, parameters)
