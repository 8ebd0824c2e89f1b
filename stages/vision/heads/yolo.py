"""The heads of the YOLO family, as Ultralytics (github.com/ultralytics) exports them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.runtime import Array
from stages.vision.heads.candidates import Candidates


def yolov8(output: Array, floor: float) -> Candidates:
    """(1, 4+nc, A): centre x, centre y, width, height in input pixels, then a score for each class."""
    best = output[0, 4:].max(axis=0)
    # Few anchors pass, so selecting them first leaves little to transpose (0.11 instead of 0.72 ms).
    rows = output[0][:, np.flatnonzero(best >= floor)].T
    return _best_class(rows[:, :4], rows[:, 4:])


def yolov5(output: Array, floor: float) -> Candidates:
    """(1, A, 5+nc): centre x, centre y, width, height in input pixels, objectness, then a score for each class.

    A candidate scores objectness times class, as in YOLOv3 (arXiv:1804.02767).
    """
    rows = output[0]
    rows = rows[rows[:, 4] >= floor]
    with np.errstate(invalid="ignore", over="ignore"):
        scores = rows[:, 5:] * rows[:, 4:5]
    return _best_class(rows[:, :4], scores)


def end_to_end(output: Array, floor: float) -> Candidates:
    """(1, N, 6): x1, y1, x2, y2 in input pixels, score, label, NMS done in the model (YOLOv10, ``nms=True``)."""
    rows = output[0].astype(np.float32)
    rows = rows[(rows[:, 4] >= floor) & np.isfinite(rows).all(axis=1)]
    # A label may be any float; one beyond int32 would wrap around to a class that exists.
    return Candidates(rows[:, :4], rows[:, 4], np.rint(np.clip(rows[:, 5], -1, 1e6)).astype(np.int32))


def centred_to_corners(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, 4) centre x, centre y, width, height as x1, y1, x2, y2."""
    half = boxes[:, 2:] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def _best_class(centred: Array, scores: Array) -> Candidates:
    labels = scores.argmax(axis=1).astype(np.int32)
    best = scores.max(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        boxes = centred_to_corners(centred.astype(np.float32))
    return Candidates(boxes, best.astype(np.float32), labels)
