"""What the boxes of a frame look like, in one row of numbers: what ``Learned`` judges by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from stages.mining.miner import View
from stages.mining.uncertain import MOST_BOXES, Floats

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
_UNSURE: Final = 1  # the place in LEVELS of 0.2, from which on a box is perhaps there
_IN_PLACE: Final = 0.4
_LEAST_SIDE: Final = 1e-3
_SIZES_BELOW: Final = SIZES[:2, None]
_SIZES_APART: Final = np.diff(SIZES)[:, None]
_KNOTS: Final = SCORES[:, None]
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
    kept = _best_first(seen.scores)
    scores, labels = seen.scores[kept].astype(np.float64), _as_in(seen.labels[kept], seen.names, classes)
    # By columns and in place, here and below: for so few boxes the time is what numpy takes to begin rows and arrays.
    columns = seen.boxes[kept].T.astype(np.float64, order="C")
    areas = np.multiply(*np.maximum(columns[2:] - columns[:2], 0))
    sides = np.sqrt(areas / (view.width * view.height))
    sizes = np.log(np.maximum(sides, _LEAST_SIDE))
    groups = _groups(sizes, labels, len(classes))
    counts = len(scores) - scores[::-1].searchsorted(LEVELS)
    there = counts[_UNSURE]
    both = np.array((scores[:there], 1 - scores[:there]))
    unsure = np.minimum(*both)
    in_all = np.add.reduce(unsure)
    sums = [
        (groups @ _near(scores)).ravel(),
        groups[:, :there] @ unsure,
        np.maximum.reduce(groups[len(SIZES) :] * scores, axis=1, initial=0),
        counts,
        (in_all, _bits(both), *_in_place(columns[:, :TOP], areas[:TOP], scores[:TOP], labels[:TOP])),
    ]
    row = (np.sqrt(np.concatenate(sums)), _on_average(scores, in_all, sizes, there), _top(scores, sides))
    return np.concatenate(row, dtype=np.float32, casting="same_kind")


def _best_first(scores: npt.NDArray[np.float32]) -> slice | npt.NDArray[np.intp]:
    """Where the ``MOST_BOXES`` best are; of boxes that come best first, a slice, which copies nothing."""
    if np.count_nonzero(scores[1:] > scores[:-1]):
        return np.argsort(-scores, kind="stable")[:MOST_BOXES]
    return slice(MOST_BOXES)


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
    above = (sizes - _SIZES_BELOW) / _SIZES_APART
    low, high = np.minimum(np.maximum(above, 0, out=above), 1, out=above)
    np.subtract(1, low, out=groups[0])
    np.subtract(low, high, out=groups[1])
    groups[2] = high
    np.equal(labels, _numbers(classes), out=groups[3:])
    return groups


@lru_cache(maxsize=8)
def _numbers(count: int) -> npt.NDArray[np.int32]:
    """(count, 1) from 0."""
    return np.arange(count, dtype=np.int32)[:, None]


@lru_cache(maxsize=TOP + 1)
def _pairs(count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Each pair of so many once."""
    i, j = np.nonzero(np.tri(count, k=-1))
    return i, j


def _near(scores: Floats) -> Floats:
    """(N, 11) how near each is to each of ``SCORES``, from 1 to 0 at the next one."""
    near = scores - _KNOTS
    np.abs(near, out=near)
    near *= 1 - len(SCORES)
    near += 1
    return np.maximum(near, 0, out=near).T


def _bits(both: Floats) -> float:
    """What it would tell to know which of N are objects, by how likely each (2, N) is one and is none."""
    some = np.maximum(both, _TINY)
    return -float(np.vdot(some, np.log2(some)))


def _on_average(scores: Floats, unsure: float, sizes: Floats, there: int) -> tuple[float, float, float, float]:
    """Mean uncertainty, mean score, mean size by score, and least size of what is perhaps there: the first ones."""
    if not len(scores):
        return 0.0, 0.0, 0.0, 0.0
    weight = float(np.add.reduce(scores))
    least = float(np.minimum.reduce(sizes[:there])) if there else 0.0
    return unsure / max(1, there), weight / len(scores), float(scores @ sizes) / max(weight, _TINY), least


def _in_place(columns: Floats, areas: Floats, scores: Floats, labels: npt.NDArray[np.int32]) -> tuple[float, float]:
    """The products of the scores of boxes that lie in one place, summed: of other classes, and of the same.

    Whether their IoU, shared / (one + other - shared), is ``_IN_PLACE`` or more is told without a division.
    """
    i, j = _pairs(len(scores))
    one, two = columns.take(i, axis=1), columns.take(j, axis=1)
    sides = np.minimum(one[2:], two[2:])
    sides -= np.maximum(one[:2], two[:2])
    shared = np.multiply(*np.maximum(sides, 0, out=sides))
    shared *= 1 / _IN_PLACE + 1
    total = np.maximum(areas, _TINY).take(i) + areas.take(j)  # empty boxes share nothing
    near = (shared >= total).nonzero()[0]
    if not len(near):
        return 0.0, 0.0
    i, j = i[near], j[near]
    other, same = np.bincount(labels[i] == labels[j], scores[i] * scores[j], 2)
    return float(other), float(same)


def _top(scores: Floats, sides: Floats) -> Floats:
    """(2 TOP,) the first scores, and the first sides, each then zeros."""
    padded = np.zeros((2, TOP))
    count = min(TOP, len(scores))
    padded[0, :count], padded[1, :count] = scores[:count], sides[:count]
    return padded.ravel()
