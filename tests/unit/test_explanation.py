"""A verdict in words, and as a caption on a picture."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import BudgetState, Verdict
from stages.explanation import explanation
from stages.vision.caption import captioned_rows, draw_caption

HARD = Verdict(True, "IBT", 0.75, 0.5, "6 of 8 boxes are low")
EASY = Verdict(False, "IBT", 0.25, 0.5, "2 of 8 boxes are low")
LONG = ("hard | IBT | score 0.75 >= threshold 0.5", "the reason is a long one " * 40)


@pytest.mark.parametrize(
    ("verdict", "decision"),
    [
        (HARD, "hard | IBT | score 0.75 >= threshold 0.5"),
        (EASY, "easy | IBT | score 0.25 < threshold 0.5"),
        (replace(EASY, audited=True), "easy, audited | IBT | score 0.25 < threshold 0.5"),
        (replace(EASY, score=0.49999999), "easy | IBT | score 0.5 just below threshold 0.5"),
        (replace(EASY, score=0.0, threshold=math.nextafter(0, 1)), "easy | IBT | score 0 just below threshold 0"),
        (replace(EASY, duplicate_of=31, threshold=None), "near-duplicate of frame 31 | IBT | score 0.25"),
        (Verdict(True, "CloudOnly", None, None, ""), "hard | CloudOnly"),
    ],
)
def test_the_decision_comes_first(verdict: Verdict, decision: str) -> None:
    assert explanation(verdict)[0] == decision
    assert explanation(verdict)[1:] == ((verdict.reason,) if verdict.reason else ())


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (
            BudgetState("200 kbit/s", "bytes", -1500, 500_000, 41_234),
            "budget 200 kbit/s | -1.5 of 500 kB left, this frame costs 41.2 kB",
        ),
        (BudgetState("20 %", "frames", 0.4, 1.5, 1), "budget 20 % | 0.4 of 1.5 frames left, this frame costs 1"),
    ],
)
def test_the_budget_comes_before_the_reason(budget: BudgetState, words: str) -> None:
    _, spent, reason = explanation(replace(HARD, budget=budget))
    assert spent == words
    assert reason == HARD.reason


def captioned(height: int, width: int, *caption: str) -> np.ndarray:
    canvas = np.full((height, width, 3), 128, np.uint8)
    draw_caption(canvas, caption)
    return canvas


@given(st.integers(1, 500), st.integers(1, 500), st.lists(st.text(max_size=80), min_size=1, max_size=3))
def test_a_caption_is_drawn_on_the_rows_that_it_names_and_no_others(
    height: int, width: int, caption: list[str]
) -> None:
    drawn = captioned(height, width, *caption)
    ((top, bottom),) = captioned_rows(caption, height, width)
    assert 0 <= top < bottom == height
    assert (drawn[:top] == 128).all()
    assert (drawn[top:].max(axis=2) != 128).any(axis=1).all()


@pytest.mark.parametrize(("height", "width"), [(272, 640), (1080, 1920), (1920, 1080)])
def test_light_text_stands_on_a_dark_band_with_a_margin_on_each_side(height: int, width: int) -> None:
    band = captioned(height, width, *LONG)[next(captioned_rows(LONG, height, width))[0] :]
    assert height / 6 < len(band) <= height / 4
    assert (band > 200).any()
    assert (band[:, :3] == 32).all()
    assert (band[:, -3:] == 32).all()
    assert (band[:, : width // 4] > 200).any()
    assert (band[:, width * 3 // 4 :] > 200).any()


def test_a_word_too_wide_is_cut_and_no_line_is_left_out() -> None:
    ((top, _),) = captioned_rows(["x" * 500, "hard"], 272, 640)
    assert top < next(captioned_rows(["x" * 500], 272, 640))[0]
    assert (captioned(272, 640, "x" * 500)[:, -3:].max() == 128).all()
    assert (captioned(272, 640, "x" * 500)[top:, 500:] > 200).any()


def test_what_does_not_fit_is_said_to_go_on() -> None:
    cut, whole = (captioned(20, 640, "hard", *rest) for rest in (("why",), ()))
    assert (cut != whole).any()


def test_text_is_larger_on_a_larger_picture() -> None:
    def rows(height: int) -> int:
        ((top, bottom),) = captioned_rows(["hard"], height, 2 * height)
        return bottom - top

    assert rows(2160) > 1.7 * rows(1080) > 2.5 * rows(272)


def test_no_caption_no_band() -> None:
    assert list(captioned_rows((), 200, 300)) == []
    assert (captioned(200, 300) == 128).all()
