"""Margin: boxes for which another answer is nearly as likely."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from stages.mining.uncertain import Columns, Floats, Limit, UncertainBoxes
from stages.vision.iou import iou

SAME: Final = 0.5
"""Boxes whose IoU is this or more are about the same thing."""


class Margin(UncertainBoxes):
    """Hard if the squared complements of the boxes' margins, put together, reach ``threshold``.

    A box has (1 - |p1 - p2|)^2: p1 is its score, p2 that of the rival that comes nearest to it, either background
    (1 - p1) or a box of another class in its place (Scheffer, Decomain, Wrobel, "Active hidden Markov models for
    information extraction", IDA 2001; squared as in Brust, Käding, Denzler, 2019, arXiv:1809.09875).
    """

    name: ClassVar[str] = "Margin"
    what: ClassVar[str] = "narrowness of the margins"

    threshold: Limit = 5.7

    def uncertainties(self, seen: Columns) -> Floats:
        """(1 - |p1 - p2|)^2, from 0 to 1."""
        boxes, scores, labels = seen.boxes, seen.scores, seen.labels
        closeness = 1 - np.abs(2 * scores - 1)
        for label in sorted(set(labels.tolist()))[:-1]:  # each pair of classes once
            here, there = np.flatnonzero(labels == label), np.flatnonzero(labels > label)
            rivals = iou(boxes[here], boxes[there]) >= SAME
            if not rivals.any():
                continue
            near = np.where(rivals, 1 - np.abs(scores[here][:, None] - scores[there]), 0)
            closeness[here] = np.maximum(closeness[here], near.max(axis=1))
            closeness[there] = np.maximum(closeness[there], near.max(axis=0))
        return closeness**2
