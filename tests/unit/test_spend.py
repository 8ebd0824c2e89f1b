"""Budgets: as people write them, and as they are spent in media time."""

from __future__ import annotations

import base64
import math
from dataclasses import replace
from functools import cache

import msgpack
import numpy as np
import pytest

from pipeline.app.parts import budgets
from pipeline.budget import Budget
from pipeline.config import validated
from pipeline.errors import ConfigError
from pipeline.image import Image
from pipeline.model import Detections, Verdict
from stages.mining.memory import Memory, Purse
from stages.mining.miner import View
from stages.mining.registry import MINERS, make_miner
from stages.mining.spend import spend
from tests import examples

NOTHING = Detections.empty()
SHAPES = ("flat", "step", "sine", "ramp", "down", "burst")


@cache
def picture(size_bytes: int) -> Image:
    """A picture whose JPEG takes so many bytes."""
    image = Image(pixels=np.zeros((720, 1280, 3), np.uint8))
    image._jpeg = bytes(size_bytes)
    return image


@pytest.mark.parametrize(
    ("text", "unit", "per_s", "share"),
    [
        ("200 kbit/s", "bytes", 25_000.0, 0.0),
        ("1.5MB/min", "bytes", 25_000.0, 0.0),
        ("5 frames/min", "frames", 5 / 60, 0.0),
        ("1 frame/h", "frames", 1 / 3600, 0.0),
        ("20 %", "frames", None, 0.2),
        ("20%", "frames", None, 0.2),
        ("20 % of the bytes", "bytes", None, 0.2),
        ("20 % of bytes", "bytes", None, 0.2),
    ],
)
def test_a_budget_as_people_write_it(text: str, unit: str, per_s: float | None, share: float) -> None:
    budget = Budget.parse(text)
    assert (budget.unit, budget.per_s, budget.share) == (unit, per_s and pytest.approx(per_s), pytest.approx(share))
    assert Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("200 kbits/s", "'kbits' is no unit of data: use bit, kbit"),
        ("200 kbit/fortnight", "'fortnight' is no unit of time: use s, min"),
        ("120 %", "more than all frames"),
        ("0 %", 'should be a rate or a part: "200 kbit/s"'),
        ("200", 'should be a rate or a part: "200 kbit/s"'),
        (200, 'should be a rate or a part: "200 kbit/s"'),
    ],
)
def test_what_is_no_budget_is_told_what_is(value: object, told: str) -> None:
    with pytest.raises(ConfigError, match="budget") as caught:
        validated({"budget": value})
    assert told in str(caught.value)


def test_streams_without_a_budget_of_their_own_share_the_services() -> None:
    streams = {name: {"source": f"{name}.mp4"} for name in ("gate", "yard", "roof")}
    streams["roof"]["budget"] = "5 frames/min"
    shared = budgets(validated({"budget": "200 kbit/s", "streams": streams}))
    assert [(shared[name].unit, shared[name].per_s) for name in ("gate", "yard")] == [("bytes", 12_500.0)] * 2
    assert shared["roof"] == Budget.parse("5 frames/min")
    assert budgets(validated({"budget": "20 %", "streams": streams}))["gate"].share == pytest.approx(0.2)
    assert budgets(validated({"streams": streams})).keys() == {"roof"}


def difficulty(shape: str, at_s: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.float64]:
    return {
        "flat": 0 * at_s,
        "step": np.where((at_s // 420) % 2, 2.0, 0.0),
        "sine": np.sin(at_s / 300),
        "ramp": at_s / 600,
        "down": -at_s / 600,
        "burst": np.where(at_s % 300 < 30, 3.0, 0.0),
    }[shape]


def view(seq: int, media_s: float, image: Image | None = None) -> View:
    return View("gate", seq, media_s, 1280, 720, NOTHING, NOTHING, 0.3, image)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("setting", "fps"),
    [("200 kbit/s", 2.5), ("20 %", 2.5), ("20 % of the bytes", 2.5), ("30 frames/min", 1.0), ("5 frames/min", 2.5)],
)
def test_in_any_ten_minutes_a_budget_is_spent_to_five_percent(setting: str, fps: float, shape: str) -> None:
    """After the first two; scores of every second shape are coarse, so that many are equal."""
    seed = SHAPES.index(shape)
    draw, budget = np.random.default_rng(seed), Budget.parse(setting)
    frames = int(30 * 60 * fps)
    at_s = np.arange(frames) / fps
    scores = difficulty(shape, at_s) + draw.normal(0, 0.5, frames)
    scores = np.round(scores * 2) / 2 if seed % 2 else scores
    sizes = (20_000 * np.exp(draw.normal(0, 0.2, frames) + 0.3 * np.sin(at_s / 200))).astype(int) // 500 * 500
    spent, purse = np.zeros(frames), None
    for i, tie in enumerate(draw.random(frames).tolist()):
        asked = Verdict(hard=False, miner="m", score=float(scores[i]), threshold=None, reason="it is so")
        purse, verdict = spend(purse, budget, view(i + 1, float(at_s[i]), picture(int(sizes[i]))), asked, tie)
        assert verdict.score is not None
        assert verdict.threshold is not None
        assert verdict.hard == (verdict.score >= verdict.threshold)
        spent[i] = verdict.hard * (1 if budget.unit == "frames" else sizes[i])
    window, settled = int(600 * fps), int(120 * fps)
    sums = np.concatenate([[0], np.cumsum(spent[settled:])])
    wanted = window * (budget.share if budget.per_s is None else budget.per_s / fps)
    if budget.by_size:
        whole = np.concatenate([[0], np.cumsum(sizes[settled:])])
        wanted = budget.share * (whole[window:] - whole[:-window])
    ratios = (sums[window:] - sums[:-window]) / wanted
    assert 0.95 <= ratios.min() <= ratios.max() <= 1.05
    sent = spent > 0
    assert scores[sent].mean() > scores[~sent].mean() + (0.3 if shape in {"flat", "burst"} else 0)


@pytest.mark.parametrize("setting", ["200 kbit/s", "20 %", "20 % of the bytes", "30 frames/min", "100 %"])
@pytest.mark.parametrize("fps", [2.5, 12.5])
def test_a_short_clip_is_never_over_its_budget_and_leaves_little_of_it(setting: str, fps: float) -> None:
    """From the first frame on; a 720p frame is taken to cost seven times as much as these do, until one is known."""
    draw, budget, frames = np.random.default_rng(3), Budget.parse(setting), int(60 * fps)
    spent, allowed, whole, purse = 0.0, 0.0, 0, None
    for i, (score, tie) in enumerate(draw.random((frames, 2)).tolist()):
        size = 500 * int(draw.integers(32, 48))
        asked = Verdict(hard=False, miner="m", score=score, threshold=None, reason="so")
        purse, verdict = spend(purse, budget, view(i + 1, i / fps, picture(size)), asked, tie)
        spent += verdict.hard * (1 if budget.unit == "frames" else size)
        whole += size
        allowed = budget.income(i + 1, i / fps, whole)
        assert spent <= allowed + 1e-6
    assert spent >= 0.85 * allowed


@pytest.mark.parametrize(("setting", "fps"), [("20 %", 25.0), ("20 %", 2.5), ("30 frames/min", 2.5), ("40 kB/s", 25.0)])
def test_a_budget_goes_to_the_hardest(setting: str, fps: float) -> None:
    """Of 700 frames that are alike in size, and hard by chance, those that are sent are mostly of the hardest fifth."""
    budget, of_hardest = Budget.parse(setting), []
    for seed in range(4):
        scores, purse, sent = np.random.default_rng(seed).random(700), None, []
        for i, score in enumerate(scores.tolist()):
            asked = Verdict(hard=False, miner="m", score=score, threshold=None, reason="so")
            purse, verdict = spend(purse, budget, view(i + 1, i / fps, picture(8_000)), asked, 0.5)
            sent += [score] * verdict.hard
        assert len(sent) > 0.85 * 140
        of_hardest.append(np.mean(np.array(sent) >= np.sort(scores)[-140]))
    assert np.mean(of_hardest) >= 0.83


@pytest.mark.parametrize(("setting", "fps"), [("20 %", 25.0), ("30 frames/min", 2.5)])
def test_of_equal_scores_the_draw_tells_who_is_sent(setting: str, fps: float) -> None:
    """Not who comes first: of 700 frames two fifths are as hard as can be, and half of these can be paid for."""
    draw, budget, purse, sent = np.random.default_rng(6), Budget.parse(setting), None, []
    for i, (hardest, tie) in enumerate(zip(draw.random(700) < 0.4, draw.random(700).tolist(), strict=True)):
        asked = Verdict(hard=False, miner="m", score=float(hardest), threshold=None, reason="so")
        purse, verdict = spend(purse, budget, view(i + 1, i / fps, picture(8_000)), asked, tie)
        sent += [(hardest, tie)] * verdict.hard
    ties = np.array([tie for hardest, tie in sent if hardest])
    assert len(ties) > 0.9 * len(sent)
    assert np.mean(ties > 0.4) >= 0.85


def test_what_has_no_score_costs_nothing_and_what_is_hard_without_one_is_sent() -> None:
    budget, purse = Budget.parse("50 %"), None
    sent = 0
    for i in range(200):
        hard = i % 2 == 0
        asked = Verdict(hard=hard, miner="m", score=None, threshold=None, reason="so")
        purse, verdict = spend(purse, budget, view(i + 1, i / 10, picture(1000)), asked, 0.5)
        assert verdict.hard <= hard
        sent += verdict.hard
    assert sent >= 95


def test_time_that_stands_still_or_goes_back_brings_no_income_until_it_goes_on() -> None:
    budget = Budget.parse("10 kB/s")
    start = Purse(0.0, 100.0, 100.0, 0.0, 0.1, 0.1, 1000.0, 9, ())
    for media_s in (100.0, 3.0):
        asked = Verdict(hard=True, miner="m", score=1.0, threshold=0.5, reason="so")
        purse, verdict = spend(start, budget, view(9, media_s, picture(1000)), asked, 0.5)
        assert not verdict.hard
        assert (purse.left, purse.clock_s) == (0.0, media_s)
        assert verdict.reason.startswith("so; the budget of 10 kB/s")
        assert verdict.budget is not None
        assert (verdict.budget.unit, verdict.budget.left) == ("bytes", 0.0)
        purse, _ = spend(purse, budget, view(10, media_s + 0.05, picture(1000)), replace(asked, score=0.0), 0.5)
        assert purse.left == pytest.approx(500.0)
        assert purse.clock_s - purse.began_s == pytest.approx(start.clock_s - start.began_s + 0.05)


@pytest.mark.parametrize(("setting", "share"), [("20 %", 0.2), ("300 frames/min", 0.2)])
def test_a_budget_is_spent_on_where_the_time_of_a_camera_falls_back(setting: str, share: float) -> None:
    """It states 15 frames a second, and 25 after a restart: what was after 1,067 s is now after 640 s."""
    draw, budget, purse, sent = np.random.default_rng(4), Budget.parse(setting), None, []
    for seq, score in enumerate(draw.random(4000).tolist(), 15_000):
        asked = Verdict(hard=False, miner="m", score=score, threshold=None, reason="so")
        media_s = seq / 15 if seq < 16_000 else seq / 25
        purse, verdict = spend(purse, budget, view(seq, media_s), asked, 0.5)
        sent.append(verdict.hard)
    assert np.mean(sent[2000:]) == pytest.approx(share, abs=0.01)


def test_a_frame_larger_than_the_bucket_waits_until_that_is_full_and_is_paid_off() -> None:
    """After frames of 10 kB come some of 400, one in 10 s; the bucket holds 100 kB."""
    budget, purse, left = Budget.parse("5 kB/s"), None, []
    for seq in range(1, 601):
        large = seq > 300 and seq % 10 == 0
        score = 2.0 if large else 1.0 if seq <= 300 else None
        asked = Verdict(hard=False, miner="m", score=score, threshold=None, reason="so")
        image = picture(400_000 if large else 10_000)
        purse, verdict = spend(purse, budget, view(seq, float(seq), image), asked, 0.5)
        if large and verdict.hard and verdict.budget:
            assert verdict.budget.left == verdict.budget.most
            left.append((verdict.budget.left, purse.left))
    assert left[:2] == [(100_000, -300_000)] * 2


def test_an_easy_frame_is_not_encoded_for_its_size() -> None:
    budget = Budget.parse("10 kB/s")
    image = Image(pixels=np.zeros((72, 128, 3), np.uint8))
    scores = tuple((float(i), 0.5 + i / 100, 0.5) for i in range(40))
    purse = Purse(0.0, 39.0, 39.0, 50_000.0, 1.0, 1.0, 20_000.0, 9, scores)
    for score, hard in ((0.1, False), (0.95, True)):
        asked = Verdict(hard=False, miner="m", score=score, threshold=None, reason="so")
        _, verdict = spend(purse, budget, view(41, 39.1, image), asked, 0.5)
        assert verdict.hard is hard
        assert (image._jpeg is not None) is hard


def test_a_score_that_is_refused_for_the_draw_among_its_equals_is_told_in_numbers_for_people() -> None:
    asked = Verdict(hard=False, miner="m", score=0.0, threshold=None, reason="so")
    _, verdict = spend(None, Budget.parse("10 kB/s"), view(1, 0.0, picture(1000)), asked, 0.5)
    assert (verdict.hard, verdict.reason) == (False, "so; the budget of 10 kB/s goes to frames above 0 now")


def test_a_purse_comes_back_exactly() -> None:
    purse = Purse(0.1, 1 / 3, 2 / 3, -5.25, 0.1, 0.2, math.pi, 7, ((0.1, 0.2, 0.3), (1.1, -2.0, 0.7)))
    assert Memory.of(Memory(purse=purse).text()) == Memory(purse=purse)
    with pytest.raises(ValueError, match="a miner's memory cannot be read"):
        Memory.of("AAAA")


def test_the_memory_of_another_tandem_is_told_by_its_format() -> None:
    another = base64.b64encode(msgpack.packb((2, None, [], None, None))).decode()
    with pytest.raises(ValueError, match="cannot be read: it has format 2, but this Tandem knows 3"):
        Memory.of(another)


@pytest.mark.parametrize("name", sorted(name for name, kind in MINERS.items() if not kind.needs_picture))
@pytest.mark.parametrize("least", [0.3, 0.95])
def test_the_miners_own_threshold_which_decides_nothing_is_not_told(name: str, least: float) -> None:
    boxes = examples.detections(names=("helmet_on", "helmet_off"))
    shown = View("gate", 9, 1.0, 1280, 720, boxes, boxes.at_least(least), least, picture(1000))
    own = make_miner(name, {}).judge(shown)
    start = Purse(0.0, 1.0, 1.0, 0.0, 0.1, 0.1, 1000.0, 9, ((1.0, 0.5, 0.5),))
    for purse in (start, replace(start, left=1e6)):
        _, decided = spend(purse, Budget.parse("10 kB/s"), shown, own, 0.5)
        if own.score is not None:
            for against in ("at or above", "below", "difficult case", "that make a frame hard"):
                assert against not in decided.reason
            assert decided.reason.startswith(f"{own.found}; the budget of 10 kB/s")
            assert own.reason.startswith(own.found)
