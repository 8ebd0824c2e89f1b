"""What the boxes of a frame look like, in one row of numbers: what ``Learned`` judges by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from stages.mining.miner import View
from stages.mining.uncertain import MOST_BOXES, Floats
from stages.vision.iou import areas, iou

VERSION: Final = 1
"""Changes with the meaning of any number in the row: what was fitted on others is of no use."""

SCORES: Final = np.linspace(0, 1, 11)
"""Around these scores boxes are counted."""

SIZES: Final = np.log([0.03, 0.08, 0.2])
"""Around these sides boxes are counted, small, medium and large: logarithms of parts of the picture's side."""

LEVELS: Final = np.array([0.1, 0.2, 0.3, 0.5, 0.7])
"""Boxes of these scores and more are counted."""

TOP: Final = 25
"""So many of the best boxes have numbers of their own."""

_SIZE_NAMES: Final = ("small", "medium", "large")
_UNSURE: Final = 0.2
_IN_PLACE: Final = 0.4
_EACH_PAIR_ONCE: Final = np.tri(TOP, k=-1, dtype=np.bool_)
_LEAST_SIDE: Final = 1e-3
_TINY: Final = 1e-9


def feature_names(classes: Sequence[str]) -> tuple[str, ...]:
    """What each number in the row is, for a model of these classes."""
    groups = (*_SIZE_NAMES, *classes)
    return (
        *(f"{group} {score:.1f}" for group in groups for score in SCORES),
        *(f"unsure {group}" for group in groups),
        *(f"best {name}" for name in classes),
        *(f"from {level:g}" for level in LEVELS),
        *("unsure", "entropy", "other class in place", "same class in place"),
        *("mean unsure", "mean score", "mean size", "least size"),
        *(f"score {i}" for i in range(1, TOP + 1)),
        *(f"side {i}" for i in range(1, TOP + 1)),
    )


def features(view: View, classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """(F,) numbers for a frame, named by ``feature_names(classes)``. It is a pure function of the boxes.

    As in Qiu, Wang, Hu, Guérin, Lu, "Optimizing Edge Offloading Decisions for Object Detection" (SEC 2024,
    arXiv:2410.18919) they are a histogram of the classes and what the best 25 boxes are like. Boxes are counted softly,
    each in the two nearest scores and sizes, in parts that make 1, as by the hat functions of finite elements: weighted
    sums of such counts are all sums over boxes that are linear in the score between the knots, ``LeastConfidence``
    among them. The rest is what other miners look at: least confidence, entropy, counts at thresholds as in
    ``DifficultCase``, classes that compete for a place as in ``Margin``. Of counts and sums the square roots are
    taken, so that large ones vary as little as small ones (Bartlett, "The square root transformation in analysis of
    variance", 1936).

    Args:
        view: the frame; its boxes may come in any order.
        classes: those that the row is made for.

    Raises:
        ValueError: a box is of another class.
    """
    seen = view.candidates
    kept = np.argsort(-seen.scores, kind="stable")[:MOST_BOXES]
    boxes, scores = seen.boxes[kept].astype(np.float64), seen.scores[kept].astype(np.float64)
    labels = _as_in(seen.labels[kept], seen.names, classes)
    sides = np.sqrt(areas(boxes) / (view.width * view.height))
    sizes = np.log(np.maximum(sides, _LEAST_SIDE))
    groups = _groups(sizes, labels, len(classes))
    counted = groups @ np.maximum(0, 1 - np.abs(scores[:, None] - SCORES) * (len(SCORES) - 1))
    there = scores >= _UNSURE
    unsure = np.minimum(scores, 1 - scores) * there
    sums = [
        counted.ravel(),
        groups @ unsure,
        (groups[len(SIZES) :] * scores).max(axis=1, initial=0),
        (scores[:, None] >= LEVELS).sum(axis=0),
        (unsure.sum(), _bits(scores) @ there),
        _in_place(boxes[:TOP], scores[:TOP], labels[:TOP]),
    ]
    averages = _on_average(scores, unsure, sizes, there)
    row = np.concatenate([np.sqrt(np.concatenate(sums)), averages, _top(scores), _top(sides)])
    return row.astype(np.float32)


def _as_in(labels: npt.NDArray[np.int32], names: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int32]:
    """The labels as indices into ``classes``."""
    if not len(labels) or tuple(names) == tuple(classes):
        return labels
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise ValueError(f"there are boxes of {', '.join(unknown)}, and only {', '.join(classes)} are known")
    return np.array([classes.index(name) for name in names], np.int32)[labels]


def _groups(sizes: Floats, labels: npt.NDArray[np.int32], classes: int) -> Floats:
    """(3 + C, N) in what part N boxes are small, medium and large, and of each class."""
    groups = np.empty((len(SIZES) + classes, len(sizes)))
    low, high = np.interp(sizes, SIZES[:2], (0, 1)), np.interp(sizes, SIZES[1:], (0, 1))
    groups[0], groups[1], groups[2] = 1 - low, low - high, high
    groups[3:] = labels == np.arange(classes)[:, None]
    return groups


def _bits(scores: Floats) -> Floats:
    """(N,) what it would tell to know whether each is an object."""
    p = np.minimum(np.maximum(scores, _TINY), 1 - _TINY)
    bits: Floats = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return bits


def _on_average(scores: Floats, unsure: Floats, sizes: Floats, there: npt.NDArray[np.bool_]) -> Floats:
    """Mean uncertainty, mean score, mean size by score, and least size of what is perhaps there."""
    if not len(scores):
        return np.zeros(4)
    weight, count = scores.sum(), np.count_nonzero(there)
    return np.array(
        [
            unsure.sum() / max(1, count),
            weight / len(scores),
            scores @ sizes / max(weight, _TINY),
            sizes[there].min() if count else 0.0,
        ]
    )


def _in_place(boxes: Floats, scores: Floats, labels: npt.NDArray[np.int32]) -> tuple[float, float]:
    """The products of the scores of boxes that lie in one place, summed: of other classes, and of the same."""
    i, j = np.nonzero((iou(boxes, boxes) >= _IN_PLACE) & _EACH_PAIR_ONCE[: len(scores), : len(scores)])
    products, same = scores[i] * scores[j], labels[i] == labels[j]
    return float(products @ ~same), float(products @ same)


def _top(values: Floats) -> Floats:
    """(TOP,) the first of them, then zeros."""
    padded = np.zeros(TOP)
    padded[: len(values)] = values[:TOP]
    return padded
