"""Boxes drawn on pictures, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import cv2

from pipeline.image import Pixels
from pipeline.model import Detections

Colour = tuple[int, int, int]

GREEN: Final[Colour] = (0, 255, 0)
BLUE: Final[Colour] = (255, 0, 0)
YELLOW: Final[Colour] = (0, 255, 255)
RED: Final[Colour] = (0, 0, 255)
BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)

PALETTE: Final = (GREEN, BLUE, YELLOW, RED)
NAMED: Final[Mapping[str, Colour]] = {"person": GREEN, "helmet": BLUE, "helmet_on": YELLOW, "helmet_off": RED}

_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def colour_of(name: str, label: int) -> Colour:
    """The colour (BGR) of a class: Sedna's for its four names, by index for any other."""
    return NAMED.get(name, PALETTE[label % len(PALETTE)])


def draw_boxes(pixels: Pixels, detections: Detections) -> Pixels:
    """A copy of a picture with each box and its ``name:0.00`` on it, as large as the picture needs to be read.

    Args:
        pixels: (H, W, 3) uint8 BGR; left as it is.
        detections: boxes in its pixels; the best one is drawn last, over the others.
    """
    return draw_onto(pixels.copy(), detections)


def draw_onto(canvas: Pixels, detections: Detections) -> Pixels:
    """Draw as ``draw_boxes`` does, on ``canvas`` itself; returns it."""
    rows = zip(detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True)
    for box, score, label in reversed(list(rows)):
        name = detections.names[label]
        _draw_box(canvas, [round(edge) for edge in box], f"{name}:{score:.2f}", colour_of(name, label))
    return canvas


def _draw_box(canvas: Pixels, box: list[int], text: str, colour: Colour) -> None:
    """Draw in place: the frame, and the text in a field of its colour above it, or inside where there is no room."""
    height, width = canvas.shape[:2]
    line, scale, stroke = max(1, round(height / 400)), max(0.35, height / 1200), max(1, round(height / 700))
    left, top, right, bottom = box
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, line)
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, stroke)
    field_height = text_height + baseline + line
    left = max(0, min(left, width - text_width))
    above = top if top >= field_height else min(top + field_height, height)
    cv2.rectangle(canvas, (left, above - field_height), (left + text_width, above), colour, cv2.FILLED)
    ink = WHITE if _is_dark(colour) else BLACK
    cv2.putText(canvas, text, (left, above - baseline), _FONT, scale, ink, stroke, cv2.LINE_AA)


def _is_dark(colour: Colour) -> bool:
    """By luma (ITU-R BT.601)."""
    blue, green, red = colour
    return 0.114 * blue + 0.587 * green + 0.299 * red < 128
