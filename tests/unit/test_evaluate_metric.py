"""The quick mAP of joint inference is that of faster-coco-eval, for any pictures that are sent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.app.evaluate.boxes import MOST_OF_A_CLASS, Boxes, boxes_of, class_names
from pipeline.app.evaluate.joint import Joint, joint_of
from pipeline.app.evaluate.metric import scored
from pipeline.model import Detections

NAMES = ("helmet_on", "helmet_off")
PICTURES = 12


def seen(rng: np.random.Generator, objects: np.ndarray, skill: float) -> Detections:
    """What a model of such skill sees of (N, 5) objects: some of them, moved, and some that are not there."""
    kept = objects[rng.random(len(objects)) < skill]
    made_up = rng.integers(0, 3)
    boxes = np.vstack([kept[:, 1:] + rng.normal(0, 2, (len(kept), 4)), rng.uniform(0, 40, (made_up, 4))])
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    scores = rng.integers(1, 10, len(boxes)) / np.float32(10)  # so that many are equal
    order = np.argsort(-scores, kind="stable")
    labels = np.concatenate([kept[:, 0], rng.integers(0, 2, made_up)]).astype(np.int32)
    return Detections(boxes[order].astype(np.float32), scores[order], labels[order], NAMES)


def a_set(seed: int) -> tuple[Boxes, list[Detections], list[Detections]]:
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(PICTURES):
        corner = rng.uniform(0, 80, (rng.integers(0, 5), 2))
        labels = rng.integers(0, 2, len(corner))
        drawn.append(np.column_stack([labels, corner, corner + rng.uniform(10, 20, corner.shape)]))
    rows = np.vstack(drawn)
    pictures = np.repeat(np.arange(PICTURES), [len(of) for of in drawn])
    truth = Boxes(pictures, rows[:, 0].astype(np.int64), rows[:, 1:], np.ones(len(rows)))
    return truth, [seen(rng, of, 0.5) for of in drawn], [seen(rng, of, 0.9) for of in drawn]


def joined(truth: Boxes, edge: list[Detections], cloud: list[Detections]) -> Joint:
    columns = [boxes_of(each, NAMES) for each in (edge, cloud)]
    of_edge, of_cloud = ((each, scored(truth, each, PICTURES, 2).right) for each in columns)
    return joint_of(truth, of_edge, of_cloud, PICTURES, 2)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 2**PICTURES - 1))
def test_the_quick_map_is_that_of_the_library(seed: int, chosen: int) -> None:
    truth, edge, cloud = a_set(seed)
    sent = np.array([bool(chosen >> i & 1) for i in range(PICTURES)])
    mixed = [big if hard else little for little, big, hard in zip(edge, cloud, sent, strict=True)]
    by_library = scored(truth, boxes_of(mixed, NAMES), PICTURES, 2).map50
    assert joined(truth, edge, cloud).map50(sent) == pytest.approx(by_library, abs=1e-9, nan_ok=True)


def test_a_picture_that_counts_twice_is_as_one_that_is_there_twice() -> None:
    truth, edge, cloud = a_set(3)
    joint = joined(truth, edge, cloud)
    sent = np.arange(PICTURES) % 3 == 0
    weights = np.arange(PICTURES) % 2 * 2.0
    kept = np.flatnonzero(weights).repeat(2)
    again = [np.flatnonzero(truth.pictures == i) for i in kept]
    picked = Boxes(
        np.repeat(np.arange(len(kept)), [len(of) for of in again]),
        *(column[np.concatenate(again)] for column in (truth.labels, truth.xyxy, truth.scores)),
    )
    mixed = [cloud[i] if sent[i] else edge[i] for i in kept]
    by_library = scored(picked, boxes_of(mixed, NAMES), len(kept), 2).map50
    # The order of equal scores differs between the two, and with it the precision in between.
    assert joint.map50(sent, weights) == pytest.approx(by_library, abs=0.05)
    assert joint.map50(sent, np.ones(PICTURES)) == joint.map50(sent)


def test_figures_by_hand() -> None:
    """One object of two is found, first of two detections: precision 1 up to a recall of 0.5, and 0 above it."""
    truth = Boxes(
        np.array([0, 1]), np.array([0, 0]), np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float64), np.ones(2)
    )
    box = np.array([[0, 0, 10, 10]], np.float32)
    right = Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int32), NAMES)
    wrong = Detections(box + 50, np.array([0.4], np.float32), np.zeros(1, np.int32), NAMES)
    edge, cloud = [right, wrong], [right, right]
    columns = [boxes_of(each, NAMES) for each in (edge, cloud)]
    results = [scored(truth, each, 2, 2) for each in columns]
    joint = joint_of(truth, (columns[0], results[0].right), (columns[1], results[1].right), 2, 2)
    assert joint.ends() == pytest.approx((51 / 101, 1.0))
    assert joint.gains() == pytest.approx([0.0, 50 / 101])
    assert joint.classes[0].recall(joint.nothing, (0.3, 0.99)) == 0.5
    assert joint.classes[0].recall(~joint.nothing, (0.3, 0.95)) == 0.0
    assert joint.classes[0].recall(~joint.nothing, (0.95, 0.9)) == 1.0
    assert math.isnan(joint.classes[1].recall(joint.nothing, (0.3, 0.99)))


def test_only_the_best_hundred_of_a_class_count_in_a_picture() -> None:
    n = MOST_OF_A_CLASS + 20
    many = Detections(
        np.tile(np.array([0, 0, 5, 5], np.float32), (n, 1)),
        np.linspace(1, 0.1, n, dtype=np.float32),
        np.array([0] * (n - 1) + [1], np.int32),
        NAMES,
    )
    assert np.bincount(boxes_of([many], NAMES).labels).tolist() == [MOST_OF_A_CLASS, 1]


def test_classes_are_joined_by_name() -> None:
    box, score = np.array([[0, 0, 5, 5]], np.float32), np.array([0.5], np.float32)
    little = Detections(box, score, np.array([0], np.int32), ("helmet_off",))
    big = Detections(box, score, np.array([1], np.int32), ("helmet_on", "helmet_off"))
    classes = class_names([little], [big])
    assert classes == ("helmet_off", "helmet_on")
    assert boxes_of([little, big], classes).labels.tolist() == [0, 0]
    assert len(boxes_of([big], ("helmet_on",))) == 0, "a class that nobody asked for"


def test_nothing_at_all_is_no_error() -> None:
    nothing = boxes_of([Detections.empty(NAMES)] * 2, NAMES)
    assert math.isnan(scored(nothing, nothing, 2, 2).map50)
