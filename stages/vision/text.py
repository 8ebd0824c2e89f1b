"""Text on pictures, in OpenCV's font, which has ASCII only."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import cv2

FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


@lru_cache(maxsize=4096)
def text_size(text: str, scale: float, stroke: int) -> tuple[tuple[int, int], int]:
    """Width, height and baseline in pixels; kept, since the same few texts are drawn again and again."""
    (width, height), baseline = cv2.getTextSize(text, FONT, scale, stroke)
    return (width, height), baseline


def cut(text: str, width: int, scale: float, stroke: int) -> str:
    """The text, shortened to end in ``...`` where it is wider than ``width`` pixels; never to less than that."""
    while len(text) > 3 and cv2.getTextSize(text, FONT, scale, stroke)[0][0] > width:
        text = f"{text[:-4]}..."
    return text
