"""Non-maximum suppression: of boxes that show the same thing, the best one stays."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

MOST_CANDIDATES: Final = 1000
"""So many of the best candidates are compared; the time grows with their square (6 ms for 1000)."""


def nms(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int32],
    *,
    iou: float,
    limit: int,
) -> npt.NDArray[np.intp]:
    """Greedy NMS, class by class: the indices of the boxes that stay, best score first, at most ``limit``.

    Of two boxes of a class whose IoU is above ``iou``, the one with the lower score goes; of equal ones the later.

    Args:
        boxes: (N, 4) xyxy, finite, in any unit.
        scores: (N,) finite.
        labels: (N,) class indices.
        iou: from 0 to 1.
        limit: how many may stay.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_CANDIDATES]
    if order.size == 0:
        return order
    corners = boxes[order].astype(np.float64)
    # OpenCV keeps classes apart by moving each by the largest coordinate, which fails for negative ones.
    corners -= corners.min()
    corners[:, 2:] -= corners[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(corners.tolist(), scores[order].tolist(), labels[order].tolist(), -1.0, iou)
    return order[np.sort(np.asarray(kept, np.intp))][:limit]
