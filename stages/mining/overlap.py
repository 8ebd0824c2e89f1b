"""How much boxes overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[Any]


def ious(first: Boxes, second: Boxes) -> npt.NDArray[np.float64]:
    """(N, M) intersections over unions of N and M xyxy boxes; 0 where both are empty."""
    a, b = first.astype(np.float64), second.astype(np.float64)
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    both = np.maximum(width, 0) * np.maximum(height, 0)
    union = areas(a)[:, None] + areas(b) - both
    parts: npt.NDArray[np.float64] = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return parts


def areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    """(N,) areas of N xyxy boxes; 0 for those that are turned inside out."""
    sides = np.maximum(boxes[:, 2:].astype(np.float64) - boxes[:, :2], 0)
    found: npt.NDArray[np.float64] = sides.prod(axis=1)
    return found
