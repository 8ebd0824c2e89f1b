"""The mAP of joint inference for any choice of pictures that are sent, quickly, from matches that are made once.

A picture's boxes are the little model's or the big one's, never both, so which of them are right does not depend on
what is sent. ``metric`` finds that out once for each model; what is left is to sort and to count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.app.evaluate.boxes import Boxes

Sent = npt.NDArray[np.bool_]
"""(pictures,) whether each is sent."""

Weights = npt.NDArray[np.float64]
"""(pictures,) how often each counts."""

_RECALLS: Final = np.linspace(0, 1, 101)


@dataclass(frozen=True, slots=True, eq=False)
class Class:
    """All detections of one class by both models, best first.

    Attributes:
        objects: (pictures,) how many there are.
        pictures: (N,) where each was detected.
        scores: (N,) from 0 to 1.
        right: (N,) whether it is matched to an object.
        cloud: (N,) whether it is the big model's.
    """

    objects: npt.NDArray[np.int64]
    pictures: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    cloud: npt.NDArray[np.bool_]

    def average_precision(self, sent: Sent, weights: Weights | None = None) -> float:
        """COCO's: the mean of the precision at recalls of 0, 0.01 to 1; NaN without objects."""
        objects = float(self.objects.sum() if weights is None else self.objects @ weights)
        if not objects:
            return float("nan")
        taken = np.flatnonzero(sent[self.pictures] == self.cloud)
        each = np.ones(len(taken)) if weights is None else weights[self.pictures[taken]]
        right = np.cumsum(self.right[taken] * each)
        precision = right / np.maximum(np.cumsum(each), np.finfo(np.float64).tiny)
        best_from = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        return float(best_from[np.searchsorted(right / objects, _RECALLS)].mean())

    def recall(self, sent: Sent, confidences: tuple[float, float]) -> float:
        """The share of the objects that are found by what edge and cloud report, each from its confidence on.

        NaN without objects.
        """
        reported = self.scores >= np.array(confidences, np.float32)[self.cloud.astype(np.intp)]
        found = self.right & (sent[self.pictures] == self.cloud) & reported
        return float(found.sum() / self.objects.sum()) if self.objects.any() else float("nan")


@dataclass(frozen=True, slots=True)
class Joint:
    """A set of pictures as both models see it."""

    pictures: int
    classes: tuple[Class, ...]

    def map50(self, sent: Sent, weights: Weights | None = None) -> float:
        """COCO's mAP at an IoU of 0.5 where the big model answers for what is sent; NaN without labels."""
        each = [found.average_precision(sent, weights) for found in self.classes]
        known = [precision for precision in each if not np.isnan(precision)]
        return float(np.mean(known)) if known else float("nan")

    def ends(self, weights: Weights | None = None) -> tuple[float, float]:
        """mAP50 of the edge alone and of the cloud alone."""
        return self.map50(self.nothing, weights), self.map50(~self.nothing, weights)

    def gains(self) -> npt.NDArray[np.float64]:
        """(pictures,) by how much mAP50 changes if that picture alone is sent."""
        edge = self.map50(self.nothing)
        one = np.arange(self.pictures)
        return np.array([self.map50(one == picture) for picture in one]) - edge

    @property
    def nothing(self) -> Sent:
        """Nothing is sent."""
        return np.zeros(self.pictures, np.bool_)


def joint_of(truth: Boxes, edge: tuple[Boxes, Sent], cloud: tuple[Boxes, Sent], pictures: int, classes: int) -> Joint:
    """Put together what both models saw, each with (N,) whether its boxes are right."""
    return Joint(pictures, tuple(_class(truth, edge, cloud, pictures, label) for label in range(classes)))


def _class(truth: Boxes, edge: tuple[Boxes, Sent], cloud: tuple[Boxes, Sent], pictures: int, label: int) -> Class:
    each = [(boxes.of(boxes.labels == label), right[boxes.labels == label]) for boxes, right in (edge, cloud)]
    place = np.concatenate([boxes.pictures for boxes, _ in each])
    scores = np.concatenate([boxes.scores for boxes, _ in each])
    order = np.lexsort((place, -scores))  # of equal scores COCO takes the first picture's first
    return Class(
        np.bincount(truth.pictures[truth.labels == label], minlength=pictures),
        place[order],
        scores[order],
        np.concatenate([right for _, right in each])[order],
        np.repeat([False, True], [len(boxes) for boxes, _ in each])[order],
    )
