"""COCO's figures, by faster-coco-eval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from pipeline.app.evaluate.boxes import MOST_OF_A_CLASS, Boxes

IOU: Final = 0.5
"""A detection is right that overlaps an object of its class by so much."""

NONE: Final = -1
"""The index of no object."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """How detections stand to labels.

    Attributes:
        map50: the mean over classes of the average precision at an IoU of 0.5, from 0 to 1; NaN without labels.
        map50_95: the mean of that over IoUs of 0.5, 0.55 to 0.95.
        objects: (N,) the index of the object that each of N detections is matched to at an IoU of 0.5, or ``NONE``.
    """

    map50: float
    map50_95: float
    objects: npt.NDArray[np.int64]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """(N,) whether each is matched to an object."""
        return np.asarray(self.objects != NONE, np.bool_)


def scored(truth: Boxes, seen: Boxes, pictures: int, classes: int) -> Scored:
    """Compare what was ``seen`` in so many pictures, of so many classes, with the truth."""
    labelled = _labelled(truth, pictures, classes)
    precision = _evaluated(labelled, seen).eval["precision"][:, :, :, 0, -1]  # (IoU, recall, class) of all sizes
    matches = _evaluated(labelled, seen, extra_calc=True).eval["matched"]
    objects = np.full(len(seen), NONE, np.int64)
    for pair in matches:
        detection, matched = pair.split("_")
        objects[int(detection) - 1] = int(matched) - 1
    return Scored(_mean(precision[0]), _mean(precision), objects)


def _evaluated(labelled: Any, seen: Boxes, *, extra_calc: bool = False) -> Any:
    """The evaluation; with ``extra_calc`` only at ``IOU``, with what was matched."""
    evaluation = COCOeval_faster(labelled, labelled.loadRes(_rows(seen)), iouType="bbox", extra_calc=extra_calc)
    if extra_calc:
        evaluation.params.iouThrs = np.array([IOU])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST_OF_A_CLASS]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _mean(precision: npt.NDArray[np.float64]) -> float:
    """The mean over the classes that have labels; the others have -1."""
    return float(precision[precision > -1].mean()) if (precision > -1).any() else float("nan")


def _labelled(truth: Boxes, pictures: int, classes: int) -> Any:
    rows = [{**row, "area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0} for row in _rows(truth)]
    return COCO(
        {
            "images": [{"id": picture} for picture in range(1, pictures + 1)],
            "categories": [{"id": label} for label in range(1, classes + 1)],
            "annotations": [{**row, "id": i} for i, row in enumerate(rows, start=1)],
        }
    )


def _rows(boxes: Boxes) -> list[dict[str, Any]]:
    """COCO's form; ids count from 1."""
    xywh = np.hstack([boxes.xyxy[:, :2], boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]]).tolist()
    columns = (boxes.pictures + 1).tolist(), (boxes.labels + 1).tolist(), xywh, boxes.scores.tolist()
    return [
        {"image_id": picture, "category_id": label, "bbox": bbox, "score": score}
        for picture, label, bbox, score in zip(*columns, strict=True)
    ]
