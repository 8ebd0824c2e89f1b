"""One picture of the compare video: two panels and a caption. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.image import Pixels
from pipeline.model import Detections
from stages.vision.text import FONT, cut

PANEL_WIDTH: Final = 640
PANEL_MAX_HEIGHT: Final = 720
CAPTION_HEIGHT: Final = 56

_MAGENTA: Final = (255, 0, 255)
_WHITE: Final = (255, 255, 255)
_FAINT: Final = (190, 190, 190)
_DARK: Final = 32
_GREY: Final = 96


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """Boxes to mark on a panel: those ``which`` of ``detections``, with ``sign`` before their class names."""

    detections: Detections
    which: npt.NDArray[np.intp]
    sign: str


def panel_height(width: int, height: int) -> int:
    """How high a panel must be for pictures of this size: even, at most ``PANEL_MAX_HEIGHT``."""
    wanted = round(PANEL_WIDTH * height / width) if width and height else PANEL_WIDTH * 9 // 16
    return max(2, min(wanted, PANEL_MAX_HEIGHT) // 2 * 2)


def panel(picture: Pixels, marks: Marks, source_width: int, height: int) -> Pixels:
    """A picture fitted into a (height, 640) panel, with its marked boxes outlined in magenta.

    Args:
        picture: it may have been decoded smaller than its source.
        marks: boxes in the source's pixels.
        source_width: how wide the source's picture is, pixels.
        height: of the panel, pixels.
    """
    scale = min(PANEL_WIDTH / picture.shape[1], height / picture.shape[0])
    fitted = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = np.asarray(cv2.resize(picture, fitted, interpolation=cv2.INTER_AREA), np.uint8)
    _mark(small, marks, fitted[0] / source_width)
    canvas = np.full((height, PANEL_WIDTH, 3), _GREY, np.uint8)
    top, left = (height - fitted[1]) // 2, (PANEL_WIDTH - fitted[0]) // 2
    canvas[top : top + fitted[1], left : left + fitted[0]] = small
    return canvas


def card(reason: str, height: int) -> Pixels:
    """A grey panel that says why there is no picture."""
    canvas = np.full((height, PANEL_WIDTH, 3), _GREY, np.uint8)
    _text(canvas, reason, (16, height // 2), PANEL_WIDTH - 32, _WHITE)
    return canvas


def with_caption(left: Pixels, right: Pixels, lines: Sequence[tuple[str, str]]) -> Pixels:
    """Two panels side by side, and above them up to two lines, each with a text for the left and for the right."""
    bar = np.full((CAPTION_HEIGHT, 2 * PANEL_WIDTH, 3), _DARK, np.uint8)
    for number, texts in enumerate(lines):
        for side, text in enumerate(texts):
            at = (side * PANEL_WIDTH + 8, 22 + 24 * number)
            _text(bar, text, at, PANEL_WIDTH - 16, _FAINT if number else _WHITE)
    return np.vstack((bar, np.hstack((left, right))))


def _mark(picture: Pixels, marks: Marks, scale: float) -> None:
    names, labels = marks.detections.names, marks.detections.labels
    for index in marks.which.tolist():
        x1, y1, x2, y2 = (round(float(edge) * scale) for edge in marks.detections.boxes[index])
        cv2.rectangle(picture, (x1 - 3, y1 - 3), (x2 + 3, y2 + 3), _MAGENTA, 3)
        text = f"{marks.sign}{names[labels[index]]}"
        at = (max(x1, 2), min(y2 + 20, picture.shape[0] - 4))
        (width, height), _ = cv2.getTextSize(text, FONT, 0.55, 1)
        cv2.rectangle(picture, (at[0] - 3, at[1] - height - 3), (at[0] + width + 3, at[1] + 5), _MAGENTA, cv2.FILLED)
        _text(picture, text, at, PANEL_WIDTH, _WHITE)


def _text(picture: Pixels, text: str, at: tuple[int, int], width: int, colour: tuple[int, int, int]) -> None:
    """Put one line of text, cut where it gets wider than ``width``."""
    line = cut(text.encode("ascii", "replace").decode(), width, 0.55, 1)
    cv2.putText(picture, line, at, FONT, 0.55, colour, 1, cv2.LINE_AA)
