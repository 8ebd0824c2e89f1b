"""The heads of the helmet models in Sedna's joint inference example (github.com/kubeedge/sedna)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from stages.runtime import Array
from stages.vision.heads.candidates import Candidates
from stages.vision.heads.yolo import yolov5

SEDNA_GREY: Final = 128
"""What Sedna's example pads pictures with."""


def three_scales(outputs: Sequence[Array], floor: float) -> Candidates:
    """Sedna's big model, YOLOv3: three outputs (1, h, w, 3, 5+nc), which hold the rows of the YOLOv5 head."""
    scales = [yolov5(output.reshape(1, -1, output.shape[-1]), floor) for output in outputs]
    return Candidates(
        np.concatenate([scale.boxes for scale in scales]),
        np.concatenate([scale.scores for scale in scales]),
        np.concatenate([scale.labels for scale in scales]),
    )


@dataclass(frozen=True, slots=True)
class InGraphNms:
    """Sedna's little model: boxes (N, 4) yxyx in source pixels, scores (N,) and classes (N,), NMS done in the model.

    Attributes:
        boxes: the place of the boxes among the outputs.
        scores: that of the scores.
        classes: that of the class indices.
    """

    boxes: int
    scores: int
    classes: int

    def __call__(self, outputs: Sequence[Array], floor: float) -> Candidates:
        """Decode; ``Candidates.sound`` applies the floor."""
        boxes = outputs[self.boxes].reshape(-1, 4)[:, [1, 0, 3, 2]].astype(np.float32)
        scores = outputs[self.scores].reshape(-1).astype(np.float32)
        labels = np.nan_to_num(outputs[self.classes].reshape(-1), nan=-1, posinf=-1, neginf=-1)
        count = min(len(boxes), len(scores), len(labels))
        kept = scores[:count] >= floor
        return Candidates(
            boxes[:count][kept], scores[:count][kept], np.clip(labels[:count][kept], -1, 1e6).astype(np.int32)
        )


def find_in_graph_nms(outputs: Mapping[str, Array]) -> InGraphNms | None:
    """Which output is which, or None if they are not boxes, scores and classes.

    Boxes are the output whose last side is 4 and that has one dimension more than both others. Of these, classes is
    the one of integers; else the one whose name says so; else the outer one, for exporters write boxes, scores,
    classes, or all three in reverse as Sedna's code fetches them.
    """
    names, arrays = list(outputs), list(outputs.values())
    if len(arrays) != 3:
        return None
    deepest = max(range(3), key=lambda place: arrays[place].ndim)
    rest = [place for place in range(3) if place != deepest]
    depth = arrays[deepest].ndim
    if depth not in (2, 3) or arrays[deepest].shape[-1] != 4 or any(arrays[place].ndim != depth - 1 for place in rest):
        return None
    marked = [place for place in rest if np.issubdtype(arrays[place].dtype, np.integer)]
    if len(marked) != 1:
        marked = [place for place in rest if any(word in names[place].lower() for word in ("class", "label"))]
    classes = marked[0] if len(marked) == 1 else {0: 2, 2: 0}.get(deepest, rest[1])
    (scores,) = (place for place in rest if place != classes)
    return InGraphNms(deepest, scores, classes)
