"""Heads: told apart by the shapes of a run, and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.errors import ConfigError
from stages.vision.heads.candidates import Candidates, Head
from stages.vision.heads.resolve import (
    END_TO_END,
    KNOWN,
    SEDNA_BIG,
    SEDNA_LITTLE,
    YOLOV5,
    YOLOV8,
    resolve_head,
)
from stages.vision.heads.sedna import InGraphNms, find_in_graph_nms, three_scales
from stages.vision.heads.yolo import end_to_end, yolov5, yolov8

Array = npt.NDArray[Any]


def zeros(*shape: int) -> Array:
    return np.zeros(shape, np.float32)


def resolve(
    outputs: Mapping[str, Array],
    *,
    size: tuple[int, int] = (640, 640),
    shape_input: bool = False,
    classes: int | None = None,
) -> Head:
    return resolve_head(
        "detector",
        outputs,
        input_height=size[0],
        input_width=size[1],
        takes_picture_shape=shape_input,
        classes=classes,
    )


def rows(found: Candidates) -> list[list[float]]:
    return [
        [*box, round(score, 4), label]
        for box, score, label in zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("shape", "size", "names", "layout", "classes"),
    [
        ((84, 8400), (640, 640), 80, YOLOV8, 80),
        ((84, 8400), (640, 640), None, YOLOV8, 80),
        ((5, 8400), (640, 640), 1, YOLOV8, 1),
        ((5, 8400), (640, 640), None, YOLOV8, 1),
        ((6, 8400), (640, 640), 2, YOLOV8, 2),
        ((6, 8400), (640, 640), None, YOLOV8, 2),
        ((6, 2184), (256, 416), 2, YOLOV8, 2),
        ((84, 84), (64, 64), None, YOLOV8, 80),
        ((84, 84), (64, 64), 80, YOLOV8, 80),
        ((84, 21), (32, 32), None, YOLOV8, 80),
        ((84, 21), (32, 32), 80, YOLOV8, 80),
        ((8, 34000), (1280, 1280), None, YOLOV8, 4),
        ((25200, 85), (640, 640), 80, YOLOV5, 80),
        ((25200, 85), (640, 640), None, YOLOV5, 80),
        ((25200, 6), (640, 640), 1, YOLOV5, 1),
        ((25200, 6), (640, 640), None, YOLOV5, 1),
        ((25200, 7), (640, 640), None, YOLOV5, 2),
        ((63, 85), (32, 32), None, YOLOV5, 80),
        ((63, 6), (32, 32), 1, YOLOV5, 1),
        ((63, 6), (32, 32), None, YOLOV5, 1),
        ((102000, 9), (1280, 1280), 4, YOLOV5, 4),
        ((300, 6), (640, 640), 80, END_TO_END, None),
        ((300, 6), (640, 640), 1, END_TO_END, None),
        ((300, 6), (640, 640), None, END_TO_END, None),
        ((1000, 6), (640, 640), 2, END_TO_END, None),
        ((6, 6), (640, 640), 2, END_TO_END, None),
        ((0, 6), (640, 640), None, END_TO_END, None),
        ((63, 6), (32, 32), 2, END_TO_END, None),
        # A wrong number of names does not change how it is read; it is complained about by name.
        ((84, 8400), (640, 640), 3, YOLOV8, 80),
        ((25200, 85), (640, 640), 3, YOLOV5, 80),
    ],
)
def test_yolo_heads_are_told_apart(
    shape: tuple[int, int], size: tuple[int, int], names: int | None, layout: str, classes: int | None
) -> None:
    head = resolve({"output0": zeros(1, *shape)}, size=size, classes=names)
    assert (head.layout, head.classes) == (layout, classes)
    assert head.needs_nms is (layout != END_TO_END)
    assert not head.in_source_pixels
    assert head.grey == 114


def test_the_raw_maps_beside_a_yolov5_head_are_ignored() -> None:
    outputs = {
        "345": zeros(1, 3, 8, 8, 7),
        "output": np.array([[[32, 32, 8, 8, 1, 0.2, 0.9]] + [[0] * 7] * 251], np.float32),
    }
    head = resolve(outputs, size=(64, 64))
    assert head.layout == YOLOV5
    assert rows(head.decode(list(outputs.values()), 0.1)) == [[28, 28, 36, 36, 0.9, 1]]


def test_sednas_big_has_three_scales() -> None:
    outputs = {"s": zeros(1, 68, 68, 3, 9), "m": zeros(1, 34, 34, 3, 9), "l": zeros(1, 17, 17, 3, 9)}
    head = resolve(outputs, size=(544, 544))
    assert (head.layout, head.classes, head.grey) == (SEDNA_BIG, 4, 128)
    assert head.needs_nms


@pytest.mark.parametrize(
    "outputs",
    [
        {"concat_19": np.zeros(0, np.int32), "concat_18": zeros(0), "concat_17": zeros(0, 4)},
        {"boxes": zeros(1, 10, 4), "scores": zeros(1, 10), "classes": np.zeros((1, 10), np.int64)},
        {"boxes": zeros(1, 4), "scores": zeros(1), "classes": zeros(1)},
        {"boxes": zeros(1, 4, 4), "scores": zeros(1, 4), "classes": zeros(1, 4)},
    ],
)
def test_sednas_little_has_nms_inside(outputs: dict[str, Array]) -> None:
    head = resolve(outputs, shape_input=True)
    assert (head.layout, head.classes, head.grey) == (SEDNA_LITTLE, None, 128)
    assert head.in_source_pixels
    assert not head.needs_nms


@pytest.mark.parametrize(
    ("outputs", "places"),
    [
        ({"a": zeros(3, 4), "b": zeros(3), "c": np.zeros(3, np.int32)}, (0, 1, 2)),
        ({"a": zeros(3, 4), "b": np.zeros(3, np.int32), "c": zeros(3)}, (0, 2, 1)),
        ({"a": zeros(3), "my_labels": zeros(3), "boxes": zeros(3, 4)}, (2, 0, 1)),
        ({"boxes": zeros(3, 4), "b": zeros(3), "c": zeros(3)}, (0, 1, 2)),
        ({"c": zeros(3), "b": zeros(3), "boxes": zeros(3, 4)}, (2, 1, 0)),
    ],
)
def test_scores_and_classes_are_told_apart(outputs: dict[str, Array], places: tuple[int, int, int]) -> None:
    assert find_in_graph_nms(outputs) == InGraphNms(*places)


@pytest.mark.parametrize(
    ("outputs", "shape_input"),
    [
        ({}, False),
        ({"logits": zeros(1, 1000)}, False),
        ({"masks": zeros(1, 116, 8400), "protos": zeros(1, 32, 160, 160)}, False),
        ({"one": zeros(1, 84, 8400), "other": zeros(1, 84, 8400)}, False),
        ({"output0": zeros(2, 84, 8400)}, False),
        ({"output0": zeros(1, 4, 8400)}, False),
        ({"output0": zeros(1, 8400, 5)}, False),
        ({"output0": zeros(1, 50, 50)}, False),
        ({"boxes": zeros(10, 4), "scores": zeros(10), "classes": zeros(10)}, False),
        ({"boxes": zeros(10, 4), "scores": zeros(10), "count": zeros(1, 10)}, True),
        ({"s": zeros(1, 68, 68, 3, 9), "m": zeros(1, 34, 34, 3, 9), "l": zeros(1, 17, 17, 3, 8)}, False),
        ({"s": zeros(1, 3, 80, 80, 85), "m": zeros(1, 3, 40, 40, 85), "l": zeros(1, 3, 20, 20, 85)}, False),
    ],
)
def test_an_unknown_head_shows_what_was_seen_and_what_is_known(outputs: dict[str, Array], *, shape_input: bool) -> None:
    with pytest.raises(ConfigError, match=r"detector\.model: its head is unknown") as caught:
        resolve(outputs, shape_input=shape_input)
    for name, array in outputs.items():
        assert f"{name} {array.shape}" in str(caught.value)
    assert all(layout in str(caught.value) for layout in KNOWN)
    assert "640x640" in str(caught.value)


@pytest.mark.parametrize("noise", [np.nan, np.inf])
def test_noise_on_grey_does_not_hide_the_head(noise: float) -> None:
    output = zeros(1, 6, 8400)
    output[0, 4, :3] = noise
    assert resolve({"output0": output}).layout == YOLOV8


@pytest.mark.parametrize("shape", [(6, 8400), (25200, 85), (300, 6)])
@pytest.mark.parametrize("value", [-3.5, 7.25])
def test_logits_are_refused(shape: tuple[int, int], value: float) -> None:
    with pytest.raises(ConfigError, match=f"detector.model: .*from .*{value}.*sigmoid|from {value}.*sigmoid"):
        resolve({"output0": np.full((1, *shape), value, np.float32)})


def test_yolov8_is_read() -> None:
    output = zeros(1, 7, 100)
    output[0, :, 40] = (50, 60, 20, 10, 0.1, 0.8, 0.3)
    output[0, :, 41] = (50, 60, 20, 10, 0.04, 0.01, 0.02)
    output[0, :, 99] = (10, 10, 4, 4, 0.05, 0, 0)
    assert rows(yolov8(output, 0.05)) == [[40, 55, 60, 65, 0.8, 1], [8, 8, 12, 12, 0.05, 0]]


def test_yolov5_scores_are_objectness_times_class() -> None:
    output = zeros(1, 100, 7)
    output[0, 3] = (50, 60, 20, 10, 0.5, 0.2, 0.8)
    output[0, 4] = (50, 60, 20, 10, 0.04, 1, 1)
    output[0, 5] = (50, 60, 20, 10, 1, 0.04, 0.01)
    assert rows(yolov5(output, 0.05).sound(0.05)) == [[40, 55, 60, 65, 0.4, 1]]


def test_end_to_end_is_read() -> None:
    output = zeros(1, 300, 6)
    output[0, 0] = (1, 2, 3, 4, 0.9, 5)
    assert rows(end_to_end(output, 0.05)) == [[1, 2, 3, 4, 0.9, 5]]


def test_sednas_three_scales_are_read_as_one() -> None:
    scales = [zeros(1, 8, 8, 3, 9), zeros(1, 4, 4, 3, 9), zeros(1, 2, 2, 3, 9)]
    scales[0][0, 7, 0, 2] = (50, 60, 20, 10, 0.5, 0, 0, 0.6, 0)
    scales[2][0, 1, 1, 0] = (30, 30, 20, 20, 1, 0, 0, 0, 0.9)
    assert rows(three_scales(scales, 0.05)) == [[40, 55, 60, 65, 0.3, 2], [20, 20, 40, 40, 0.9, 3]]


def test_sednas_little_turns_yxyx_around() -> None:
    outputs = [
        np.array([1, 3], np.int32),
        np.array([0.9, 0.01], np.float32),
        np.array([[1, 2, 3, 4], [0, 0, 9, 9]], np.float32),
    ]
    assert rows(InGraphNms(2, 1, 0)(outputs, 0.05)) == [[2, 1, 4, 3, 0.9, 1]]


def test_half_precision_is_read() -> None:
    output = zeros(1, 6, 100).astype(np.float16)
    output[0, :, 0] = (50, 60, 20, 10, 0.5, 0)
    found = yolov8(output, 0.05)
    assert (found.boxes.dtype, found.scores.dtype) == (np.float32, np.float32)
    assert rows(found) == [[40, 55, 60, 65, 0.5, 0]]


@pytest.mark.parametrize("noise", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(7))
def test_what_is_not_finite_is_dropped(noise: float, column: int) -> None:
    good, bad = [50, 60, 20, 10, 0.5, 0.5, 0.5], [50, 60, 20, 10, 0.5, 0.5, 0.5]
    bad[column] = noise
    table = np.array([bad, good], np.float32)
    # Of a class that scores -inf, the others' scores still hold.
    assert len(yolov8(table.T[None], 0.05).sound(0.05)) == (2 if noise == -np.inf and column >= 4 else 1)
    assert len(yolov5(table[None], 0.05).sound(0.05)) == (2 if noise == -np.inf and column >= 5 else 1)
    if column < 6:
        assert len(end_to_end(table[None, :, :6], 0.05).sound(0.05)) == 1


def test_infinite_objectness_of_nothing_is_dropped() -> None:
    table = np.array([[50, 60, 20, 10, np.inf, 0, 0]], np.float32)
    assert len(yolov5(table[None], 0.05).sound(0.05)) == 0


@pytest.mark.parametrize("noise", [np.nan, np.inf, -np.inf, -1, 1e30, 4096])
def test_a_label_that_cannot_be_is_dropped(noise: float) -> None:
    labels = np.array([noise, 2], np.float32)
    boxes, scores = np.array([[0, 0, 5, 5]] * 2, np.float32), np.full(2, 0.5, np.float32)
    assert rows(InGraphNms(0, 1, 2)([boxes, scores, labels], 0.05).sound(0.05)) == [[0, 0, 5, 5, 0.5, 2]]
    output = np.concatenate((boxes, scores[:, None], labels[:, None]), axis=1)[None]
    assert rows(end_to_end(output, 0.05).sound(0.05)) == [[0, 0, 5, 5, 0.5, 2]]
