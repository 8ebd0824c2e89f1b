"""What a budget pays for, which miner is chosen for it, and the config that comes of it."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.app.evaluate.afford import Affordable, affordable
from pipeline.app.evaluate.choice import chosen
from pipeline.app.evaluate.curves import Curves
from pipeline.app.evaluate.replay import Figure
from pipeline.app.evaluate.tune import Tuning, tune
from pipeline.budget import Budget
from pipeline.config import load, validated
from pipeline.errors import ConfigError
from pipeline.model import Detections
from stages.mining.miner import View
from stages.mining.registry import MINERS, make_miner

WITHOUT_THRESHOLD = {"DifficultCase", "CloudOnly", "EdgeOnly", "Blur", "Motion"}
TUNED = sorted(set(MINERS) - WITHOUT_THRESHOLD - {"Flicker", "Learned"})


@pytest.mark.parametrize(
    ("setting", "fps", "expected"),
    [
        ("20 %", None, Affordable(0.2, by_bytes=False)),
        ("20 % of the bytes", None, Affordable(0.2, by_bytes=True)),
        ("60 frames/min", 5.0, Affordable(0.2, by_bytes=False)),
        ("200 kbit/s", 5.0, Affordable(0.25, by_bytes=True)),
    ],
)
def test_a_budget_is_a_part_of_the_pictures_or_of_their_bytes(
    setting: str, fps: float | None, expected: Affordable
) -> None:
    assert affordable(Budget.parse(setting), fps, 20_000) == expected


@pytest.mark.parametrize(
    ("setting", "fps", "told"),
    [
        ("5 frames/min", None, "--fps: 5 frames/min is a rate"),
        ("1 MB/s", 5.0, "--budget: 1 MB/s pays for all 5 frames/s of 20 kB"),
        ("100 %", None, "--budget: 100 % pays for all frames"),
    ],
)
def test_what_cannot_be_compared_or_needs_no_choice_is_said(setting: str, fps: float | None, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        affordable(Budget.parse(setting), fps, 20_000)
    assert str(caught.value).startswith(told)


def seen(scores: list[float], seq: int = 1) -> View:
    n = len(scores)
    found = Detections(
        np.tile(np.array([0, 0, 8, 8], np.float32), (n, 1)),
        np.array(sorted(scores, reverse=True), np.float32),
        np.zeros(n, np.int32),
        ("on",),
    )
    return View("gate", seq, 0.0, 640, 360, found, found.at_least(0.3), 0.3)


some = st.lists(st.floats(0.3125, 1, width=32), min_size=1, max_size=20)


@pytest.mark.parametrize("name", TUNED)
@settings(deadline=None, max_examples=40)
@given(some, some)
def test_at_a_score_frames_that_reach_it_are_hard_and_rank_as_before(
    name: str, one: list[float], other: list[float]
) -> None:
    if name == "EmptySuspicious":  # it ranks frames of which nothing is reported
        one, other = ([score / 4 for score in scores] for scores in (one, other))
    miner = make_miner(name, {})
    first, second = (miner.judge(view).score for view in (seen(one), seen(other, 2)))
    assert first is not None
    assert second is not None
    if abs(first - second) < 1e-6:
        return
    middle = (first + second) / 2
    parameters = miner.at(middle)
    assert parameters is not None
    tuned = make_miner(name, parameters)
    judged = [tuned.judge(view) for view in (seen(one), seen(other, 2))]
    assert [verdict.hard for verdict in judged] == [score >= middle for score in (first, second)]
    assert [verdict.score for verdict in judged] == pytest.approx([first, second], abs=1e-6)


def test_some_miners_have_no_such_parameter() -> None:
    assert {
        name for name in sorted(set(MINERS) - {"Learned"}) if make_miner(name, {}).at(0.5) is None
    } == WITHOUT_THRESHOLD
    assert make_miner("Flicker", {}).at(1.5) == {"events": 2}


def report(**gaps: float) -> dict[str, Any]:
    """As ``tandem evaluate --report`` writes it."""
    return {
        "images": 100,
        "bytes": 2_000_000,
        "miners": {
            name: {"0.20": {"map50": 0.8, "gap_recovered": gap, "bytes": 450_000, "recall_helmet_off": None}}
            for name, gap in gaps.items()
        },
        "thresholds": {name: {"0.20": 0.43216} for name in gaps},
        "intervals": {name: {"0.20": [gap - 0.1, gap + 0.1]} for name, gap in gaps.items()},
    }


def tuned(
    folder: Path,
    told: object,
    budget: str = "20 %",
    miners: tuple[str, ...] = (),
    config: Mapping[str, Any] | None = None,
) -> str:
    (folder / "worth.json").write_text(json.dumps(told))
    asked = Tuning(Budget.parse(budget), None, miners, folder / "worth.json", config or {}, folder / "tuned.yaml")
    printed = io.StringIO()
    tune(validated(config or {}), asked, Console(file=printed, width=200))
    return printed.getvalue()


def test_the_best_miner_of_a_report_becomes_a_config_that_can_be_loaded(tmp_path: Path) -> None:
    told = report(IBT=0.3, Entropy=0.58, LeastConfidence=0.6, Random=0.9, **{"IBT 0.9/0.9": 0.95})
    kept = {"miner": {"name": "IBT", "threshold_box": 0.6}, "budget": "5 %", "reader": {"every": 3}}
    printed = tuned(tmp_path, told, config=kept)
    config = load(tmp_path / "tuned.yaml")
    assert (config.miner.name, dict(config.miner.parameters)) == ("LeastConfidence", {"threshold": 0.4321})
    assert (config.budget, config.reader.every) == (Budget.parse("20 %"), 3)
    assert "LeastConfidence recovers 60 % of the gap in mAP50 (95 % interval 50 to 70)" in printed
    assert "with 20.0 % of the pictures and 22.5 % of the bytes" in printed
    assert "not told apart from it by these pictures: Entropy 58\n" in printed
    tuned(tmp_path, told, miners=("IBT", "Random"), config=kept)
    assert load(tmp_path / "tuned.yaml").miner.parameters == {"random_ratio": 0.5679}
    tuned(tmp_path, told, miners=("IBT",), config=kept)
    assert load(tmp_path / "tuned.yaml").miner.parameters == {"threshold_box": 0.6, "threshold_img": 0.5679}


@pytest.mark.parametrize(
    ("told", "budget", "miners", "error"),
    [
        (report(IBT=0.3), "12 %", (), "--budget: it pays for 12 % of the pictures, but the report knows 20%"),
        (report(IBT=float("nan")), "20 %", (), "IMAGES: the cloud is not better than the edge here"),
        (report(IBT=0.3), "20 %", ("Entropy",), "--miners: none was measured"),
        (report(IBT=0.3), "20 %", ("Blur",), "--miners: Blur looks at pictures"),
        (report(IBT=0.3), "20 %", ("Foo",), "miner.name: there is no miner 'Foo'"),
        ({"images": 3}, "20 %", (), "is no report of `tandem evaluate --report` (bytes: Field required)"),
    ],
)
def test_what_a_report_does_not_say_is_named(
    tmp_path: Path, told: dict[str, Any], budget: str, miners: tuple[str, ...], error: str
) -> None:
    text = json.loads(json.dumps(told).replace("NaN", "null"))
    with pytest.raises(ConfigError) as caught:
        tuned(tmp_path, text, budget, miners)
    assert error in str(caught.value)
    assert not (tmp_path / "tuned.yaml").exists()


def test_a_budget_that_pays_for_no_picture_is_refused() -> None:
    nothing = Curves({"IBT": {0.001: Figure(0.0, 0.7, 0.0, 0.0, math.nan)}}, {}, {})
    with pytest.raises(ConfigError, match=r"--budget: it pays for 0.1 % of the pictures, which is not one"):
        chosen(validated({}), (), nothing, Affordable(0.001, by_bytes=False))


def test_a_file_that_it_did_not_write_stays(tmp_path: Path) -> None:
    (tmp_path / "tuned.yaml").write_text("service: mine\n")
    with pytest.raises(ConfigError, match=r"--output: .*tandem tune did not write it"):
        tuned(tmp_path, report(IBT=0.3))
    assert (tmp_path / "tuned.yaml").read_text() == "service: mine\n"
