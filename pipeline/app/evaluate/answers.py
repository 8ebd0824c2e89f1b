"""What a model gets right and wrong in each picture, by the boxes that it reports."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.app.evaluate.boxes import Boxes
from pipeline.app.evaluate.metric import IOU, NONE
from stages.vision.iou import iou

SURE: Final = 0.7
"""A model is sure of a box that scores this or more."""

NEAR: Final = 0.1
"""A box that overlaps an object by less has nothing to do with it."""

Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


class Wrong(StrEnum):
    """Why a box is wrong, as in TIDE (Bolya, Foley, Hays, Hoffman, ECCV 2020, arXiv:2008.08115)."""

    CLASS = "class"
    LOCATION = "location"
    BOTH = "class and location"
    DUPLICATE = "duplicate"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What one model reports of a set of pictures.

    Attributes:
        found: (M,) whether each object is found.
        wrong: (pictures, kinds) how many boxes are wrong, by the kinds in their order.
        unlabelled: (pictures,) how many of those of ``BACKGROUND`` the model is sure of: the label may be missing.
    """

    found: Flags
    wrong: Counts
    unlabelled: Counts

    def wrong_in(self, pictures: Flags) -> dict[Wrong, int]:
        """How many boxes are wrong in these pictures."""
        return dict(zip(Wrong, self.wrong[pictures].sum(axis=0).tolist(), strict=True))


def answers(truth: Boxes, seen: Boxes, objects: Counts, confidence: float, pictures: int) -> Answers:
    """Judge what is reported of so many pictures.

    Args:
        truth: M objects.
        seen: N boxes.
        objects: (N,) the index of the object that each is matched to, or ``NONE``.
        confidence: the score from which on a box is reported.
        pictures: how many there are.
    """
    reported = seen.scores >= confidence
    found = np.zeros(len(truth), np.bool_)
    found[objects[reported & (objects != NONE)]] = True
    wrong, kinds = np.zeros((pictures, len(Wrong)), np.int64), list(Wrong)
    unlabelled = np.zeros(pictures, np.int64)
    unmatched = seen.of(reported & (objects == NONE))
    for picture in np.unique(unmatched.pictures):
        here, there = unmatched.of(unmatched.pictures == picture), truth.of(truth.pictures == picture)
        for kind, score in zip(_kinds(here, there), here.scores.tolist(), strict=True):
            wrong[picture, kinds.index(kind)] += 1
            unlabelled[picture] += kind is Wrong.BACKGROUND and score >= SURE
    return Answers(found, wrong, unlabelled)


def _kinds(seen: Boxes, truth: Boxes) -> list[Wrong]:
    """Why each box of a picture that is matched to no object is wrong."""
    overlaps = iou(seen.xyxy, truth.xyxy)
    own = truth.labels[None, :] == seen.labels[:, None]
    same = np.where(own, overlaps, 0).max(axis=1, initial=0)
    other = np.where(own, 0, overlaps).max(axis=1, initial=0)
    return [_kind(float(a), float(b)) for a, b in zip(same, other, strict=True)]


def _kind(same: float, other: float) -> Wrong:
    if same >= IOU:
        return Wrong.DUPLICATE
    if same >= NEAR:
        return Wrong.LOCATION
    if other >= IOU:
        return Wrong.CLASS
    return Wrong.BOTH if other >= NEAR else Wrong.BACKGROUND
