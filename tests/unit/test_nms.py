"""Non-maximum suppression against its definition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from stages.vision.nms import MOST_CANDIDATES, nms

Float32 = npt.NDArray[np.float32]


def run(
    boxes: list[list[float]], scores: list[float], labels: list[int], iou: float = 0.6, limit: int = 300
) -> list[int]:
    columns = np.array(boxes, np.float32).reshape(-1, 4)
    found = nms(columns, np.array(scores, np.float32), np.array(labels, np.int32), iou=iou, limit=limit)
    return [int(index) for index in found]


def by_definition(boxes: Float32, scores: Float32, labels: npt.NDArray[np.int32], iou: float) -> list[int]:
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if all(labels[index] != labels[other] or overlap(boxes[index], boxes[other]) <= iou for other in kept):
            kept.append(int(index))
    return kept


def overlap(one: Float32, other: Float32) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(one[2:] - one[:2])) + float(np.prod(other[2:] - other[:2])) - shared)


def test_the_better_of_two_overlapping_boxes_stays() -> None:
    assert run([[0, 0, 10, 10], [0, 0, 10, 9]], [0.5, 0.9], [0, 0]) == [1]


def test_boxes_of_other_classes_stay() -> None:
    assert run([[0, 0, 10, 10], [0, 0, 10, 10]], [0.5, 0.9], [0, 1]) == [1, 0]


def test_classes_stay_apart_left_of_zero_too() -> None:
    # Shifted by (largest coordinate + 1) per class, the second would lie upon the first.
    assert run([[-20, -20, -1, -1], [-20, -20, -1, -1]], [0.9, 0.8], [0, 1]) == [0, 1]


@pytest.mark.parametrize(("iou", "kept"), [(0.49, [0]), (0.51, [0, 1])])
def test_iou_is_the_limit(iou: float, kept: list[int]) -> None:
    assert run([[0, 0, 10, 10], [0, 0, 10, 5]], [0.9, 0.8], [0, 0], iou=iou) == kept


def test_best_first_and_no_more_than_the_limit() -> None:
    boxes = [[20.0 * n, 0, 20.0 * n + 10, 10] for n in range(5)]
    assert run(boxes, [0.1, 0.5, 0.3, 0.9, 0.7], [0] * 5, limit=3) == [3, 4, 1]


def test_of_equal_scores_the_first_stays() -> None:
    assert run([[0, 0, 10, 10], [0, 0, 10, 9]], [0.5, 0.5], [0, 0]) == [0]


def test_a_score_of_zero_is_a_score() -> None:
    assert run([[0, 0, 10, 10]], [0.0], [0]) == [0]


def test_nothing_from_nothing() -> None:
    assert run([], [], []) == []


def test_a_box_without_area_harms_nobody() -> None:
    assert run([[5, 5, 5, 5], [0, 0, 10, 10]], [0.9, 0.8], [0, 0]) == [0, 1]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_greedy_nms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-50, 300, (200, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(20, 90, (200, 2))), axis=1).astype(np.float32)
    scores = rng.random(200).astype(np.float32)
    labels = rng.integers(0, 3, 200).astype(np.int32)
    found = nms(boxes, scores, labels, iou=0.5, limit=300)
    assert found.tolist() == by_definition(boxes, scores, labels, 0.5)


def test_only_the_best_candidates_are_compared() -> None:
    count = MOST_CANDIDATES + 50
    boxes = np.repeat(20 * np.arange(count, dtype=np.float32)[:, None], 4, axis=1) + np.float32([0, 0, 10, 10])
    scores = np.linspace(0, 1, count, dtype=np.float32)
    found = nms(boxes, scores, np.zeros(count, np.int32), iou=0.5, limit=count)
    assert found.tolist() == list(range(count - 1, 49, -1))
