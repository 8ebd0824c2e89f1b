"""How much boxes overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[Any]
Overlaps = npt.NDArray[np.float64]


def iou(left: Boxes, right: Boxes) -> Overlaps:
    """The IoU (N, M) of boxes (N, 4) and (M, 4) xyxy; 0 where both are empty."""
    # By columns, both directions at once: numpy takes four times as long over axes of two that come last.
    a, b = (np.ascontiguousarray(boxes.T, np.float64) for boxes in (left, right))
    sides = np.minimum(a[2:, :, None], b[2:, None]) - np.maximum(a[:2, :, None], b[:2, None])
    shared: Overlaps = np.multiply(*np.maximum(sides, 0, out=sides))
    total = np.add.outer(_area(a), _area(b)) - shared
    return np.divide(shared, total, out=shared, where=total > 0)


def areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    """(N,) areas of N xyxy boxes; 0 for those that are turned inside out."""
    return _area(boxes.T.astype(np.float64))


def _area(columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    width, height = np.maximum(columns[2:] - columns[:2], 0)
    area: npt.NDArray[np.float64] = width * height
    return area


def links(overlap: Overlaps, least: float) -> list[tuple[int, int]]:
    """Pairs of a row and a column whose IoU is at least ``least``, each used once, the largest first (greedy)."""
    rows, columns = np.nonzero(overlap >= least)
    order = np.argsort(-overlap[rows, columns], kind="stable")
    free_rows, free_columns = set(rows.tolist()), set(columns.tolist())
    pairs = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row in free_rows and column in free_columns:
            free_rows.discard(row)
            free_columns.discard(column)
            pairs.append((row, column))
    return pairs
