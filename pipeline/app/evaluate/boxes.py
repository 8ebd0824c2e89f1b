"""The boxes of a whole set of pictures, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.model import Detections

MOST_OF_A_CLASS: Final = 100
"""So many of a class are counted in a picture, the best ones, as COCO does."""

UNKNOWN: Final = -1
"""The label of a box whose class is not among those that are looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """N boxes, picture by picture, the best first in each.

    Attributes:
        pictures: (N,) indices of the pictures.
        labels: (N,) indices of the classes.
        xyxy: (N, 4) in pixels of the pictures.
        scores: (N,) from 0 to 1; 1 for what people drew.
    """

    pictures: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    xyxy: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.scores)

    def of(self, kept: npt.NDArray[np.bool_]) -> Boxes:
        """Those that ``kept`` (N,) names, in the same order."""
        return Boxes(self.pictures[kept], self.labels[kept], self.xyxy[kept], self.scores[kept])


def class_names(*sets: Sequence[Detections]) -> tuple[str, ...]:
    """All classes that these detections may be of, each once, in the order of the models."""
    models = dict.fromkeys(seen.names for found in sets for seen in found)
    return tuple(dict.fromkeys(name for names in models for name in names))


def boxes_of(detections: Sequence[Detections], classes: Sequence[str]) -> Boxes:
    """The detections of each picture in turn, labelled by ``classes``, at most ``MOST_OF_A_CLASS`` of each there."""
    index = {name: i for i, name in enumerate(classes)}
    labels = [np.array([index.get(name, UNKNOWN) for name in seen.names], np.int64)[seen.labels] for seen in detections]
    kept = [_best(of) for of in labels]
    columns = list(zip(detections, labels, kept, strict=True))
    return Boxes(
        np.repeat(np.arange(len(detections)), [int(keep.sum()) for keep in kept]),
        np.concatenate([np.zeros(0, np.int64), *(of[keep] for _, of, keep in columns)]),
        np.concatenate([np.zeros((0, 4)), *(seen.boxes[keep].astype(np.float64) for seen, _, keep in columns)]),
        np.concatenate([np.zeros(0), *(seen.scores[keep].astype(np.float64) for seen, _, keep in columns)]),
    )


def in_a_row(sets: Sequence[Boxes], pictures: Sequence[int]) -> Boxes:
    """The boxes of several sets, of so many pictures each, as those of one: the pictures are numbered on."""
    before = np.concatenate([[0], np.cumsum(pictures)[:-1]]).astype(np.int64)
    return Boxes(
        np.concatenate([boxes.pictures + first for boxes, first in zip(sets, before, strict=True)]),
        np.concatenate([boxes.labels for boxes in sets]),
        np.concatenate([boxes.xyxy for boxes in sets]),
        np.concatenate([boxes.scores for boxes in sets]),
    )


def _best(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which boxes count of those of one picture, best first."""
    kept = np.array(labels != UNKNOWN, np.bool_)
    if len(labels) > MOST_OF_A_CLASS:
        for label in np.unique(labels):
            kept[np.flatnonzero(labels == label)[MOST_OF_A_CLASS:]] = False
    return kept
