"""Boxes on pictures."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.model import Detections
from stages.vision.draw import BLUE, GREEN, RED, YELLOW, colour_of, draw_boxes

NAMES = ("person", "helmet", "helmet_on", "helmet_off")


def seen(*boxes: tuple[float, float, float, float], labels: tuple[int, ...] = (0,)) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.5, count, dtype=np.float32),
        np.array((labels * count)[:count], np.int32),
        NAMES,
    )


def dark(height: int = 200, width: int = 300) -> np.ndarray:
    return np.full((height, width, 3), 40, np.uint8)


@pytest.mark.parametrize(
    ("name", "label", "colour"),
    [
        ("person", 0, GREEN),
        ("helmet", 1, BLUE),
        ("helmet_on", 0, YELLOW),
        ("helmet_off", 1, RED),
        ("car", 0, GREEN),
        ("bus", 2, YELLOW),
        ("cat", 7, RED),
    ],
)
def test_sednas_names_have_its_colours_and_others_go_by_index(
    name: str, label: int, colour: tuple[int, int, int]
) -> None:
    assert colour_of(name, label) == colour


def test_the_picture_itself_stays_clean() -> None:
    pixels = dark()
    drawn = draw_boxes(pixels, seen((50, 60, 120, 150)))
    assert (pixels == 40).all()
    assert not np.shares_memory(pixels, drawn)
    assert drawn.shape == pixels.shape
    assert drawn.dtype == np.uint8


def test_no_detections_change_nothing() -> None:
    assert (draw_boxes(dark(), Detections.empty(NAMES)) == 40).all()


def test_the_frame_lies_on_the_box_in_its_colour() -> None:
    drawn = draw_boxes(dark(), seen((50, 60, 120, 150), labels=(3,)))
    for x, y in ((50, 100), (120, 100), (90, 150)):
        assert tuple(drawn[y, x]) == RED
    assert tuple(drawn[100, 90]) == (40, 40, 40)


def test_the_text_stands_above_the_box() -> None:
    drawn = draw_boxes(dark(), seen((50, 60, 120, 150)))
    above = (drawn[40:58] != 40).any(axis=2)
    assert above.any()
    assert not (drawn[:40] != 40).any()


def test_at_the_top_the_text_stands_inside() -> None:
    with_text = draw_boxes(dark(), seen((50, 2, 120, 150)))
    assert (with_text[4:14, 52:110] != 40).any()


def test_text_is_larger_on_a_larger_picture() -> None:
    def text_rows(height: int) -> int:
        drawn = draw_boxes(dark(height, 2 * height), seen((height / 2, height / 2, height, height * 0.9)))
        return int((drawn[: height // 2] != 40).any(axis=(1, 2)).sum())

    assert text_rows(2160) > 2.5 * text_rows(720) > 4 * text_rows(120)


def test_the_best_box_is_on_top() -> None:
    drawn = draw_boxes(dark(), seen((50, 60, 120, 150), (50, 60, 120, 150), labels=(3, 0)))
    assert tuple(drawn[100, 50]) == RED


@pytest.mark.parametrize("box", [(-10, -10, 500, 500), (0, 0, 1, 1), (299, 199, 300, 200), (290, 0, 300, 5)])
@pytest.mark.parametrize("size", [(200, 300), (1, 1), (5, 4000)])
def test_any_box_on_any_picture_can_be_drawn(size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    assert draw_boxes(dark(*size), seen(box)).shape == (*size, 3)
