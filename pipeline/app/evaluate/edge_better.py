"""The pictures on which the little model is the better one: an oracle leaves them out, and so surpasses the cloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pipeline.app.evaluate.answers import Answers, Flags, Wrong
from pipeline.app.evaluate.boxes import Boxes


@dataclass(frozen=True, slots=True)
class Kind:
    """Some of the pictures, and what both models report of them.

    Attributes:
        pictures: how many there are.
        objects: in a picture, on average.
        side_px: the median of the roots of the objects' areas; NaN where there is none.
        edge_only: how many objects the edge alone finds.
        cloud_only: how many the cloud alone finds.
        edge_wrong: how many of the edge's boxes are wrong, and why.
        cloud_wrong: how many of the cloud's are.
        unlabelled: how many boxes show nothing that is labelled although the cloud is sure of them.
    """

    pictures: int
    objects: float
    side_px: float
    edge_only: int
    cloud_only: int
    edge_wrong: dict[Wrong, int]
    cloud_wrong: dict[Wrong, int]
    unlabelled: int

    @classmethod
    def of(cls, pictures: Flags, truth: Boxes, edge: Answers, cloud: Answers) -> Self:
        """Those of them that ``pictures`` (n,) names."""
        there = pictures[truth.pictures]
        sides = np.maximum(truth.xyxy[there, 2:] - truth.xyxy[there, :2], 0)
        return cls(
            int(pictures.sum()),
            float(there.sum() / max(1, pictures.sum())),
            float(np.median(np.sqrt(sides.prod(axis=1)))) if there.any() else float("nan"),
            int((edge.found & ~cloud.found & there).sum()),
            int((cloud.found & ~edge.found & there).sum()),
            edge.wrong_in(pictures),
            cloud.wrong_in(pictures),
            int(cloud.unlabelled[pictures].sum()),
        )

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "pictures": self.pictures,
            "objects": round(self.objects, 2),
            "side_px": None if np.isnan(self.side_px) else round(self.side_px, 1),
            "found_by_edge_only": self.edge_only,
            "found_by_cloud_only": self.cloud_only,
            "sure_but_unlabelled": self.unlabelled,
            "wrong": {
                "edge": {str(kind): count for kind, count in self.edge_wrong.items()},
                "cloud": {str(kind): count for kind, count in self.cloud_wrong.items()},
            },
        }


@dataclass(frozen=True, slots=True, eq=False)
class EdgeBetter:
    """The pictures that lower mAP50 when they alone are sent, and the others.

    Attributes:
        order: (K,) their indices, the worst first.
        change: (K,) by how much mAP50 changes.
        here: what they have in common.
        elsewhere: what the others have.
    """

    order: npt.NDArray[np.intp]
    change: npt.NDArray[np.float64]
    here: Kind
    elsewhere: Kind

    @property
    def half(self) -> int:
        """So many of the worst make up half of the change."""
        return int(np.searchsorted(-np.cumsum(self.change), -self.change.sum() / 2) + 1) if len(self.change) else 0

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "share": round(self.here.pictures / max(1, self.here.pictures + self.elsewhere.pictures), 4),
            "change_in_map50": round(float(self.change.sum()), 4),
            "half_of_it_in": self.half,
            "here": self.here.json(),
            "elsewhere": self.elsewhere.json(),
        }


def edge_better(gains: npt.NDArray[np.float64], truth: Boxes, edge: Answers, cloud: Answers) -> EdgeBetter:
    """Compare the pictures that lose with the others.

    Args:
        gains: (pictures,) by how much mAP50 changes if that picture alone is sent.
        truth: the objects.
        edge: what the little model reports.
        cloud: what the big one reports.
    """
    worst_first = np.argsort(gains, kind="stable")
    order = worst_first[gains[worst_first] < 0]
    here = gains < 0
    kinds = (Kind.of(which, truth, edge, cloud) for which in (here, ~here))
    return EdgeBetter(order, gains[order], *kinds)
