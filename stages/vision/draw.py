"""Boxes and a caption drawn on pictures, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import cv2

from pipeline.image import Pixels
from pipeline.model import Detections
from stages.vision.caption import Caption, captioned_rows, draw_caption
from stages.vision.text import FONT, text_size

Colour = tuple[int, int, int]

GREEN: Final[Colour] = (0, 255, 0)
BLUE: Final[Colour] = (255, 0, 0)
YELLOW: Final[Colour] = (0, 255, 255)
RED: Final[Colour] = (0, 0, 255)
BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)

PALETTE: Final = (GREEN, BLUE, YELLOW, RED)
NAMED: Final[Mapping[str, Colour]] = {"person": GREEN, "helmet": BLUE, "helmet_on": YELLOW, "helmet_off": RED}


def colour_of(name: str, label: int) -> Colour:
    """The colour (BGR) of a class: Sedna's for its four names, by index for any other."""
    return NAMED.get(name, PALETTE[label % len(PALETTE)])


def draw_boxes(pixels: Pixels, detections: Detections, caption: Caption = ()) -> Pixels:
    """A copy of a picture with each box and its ``name:0.00`` on it, as large as the picture needs to be read.

    Args:
        pixels: (H, W, 3) uint8 BGR; left as it is.
        detections: boxes in its pixels; the best one is drawn last, over the others.
        caption: text along the lower edge, over the boxes.
    """
    return draw_onto(pixels.copy(), detections, caption)


def draw_onto(canvas: Pixels, detections: Detections, caption: Caption = ()) -> Pixels:
    """Draw as ``draw_boxes`` does, on ``canvas`` itself; returns it."""
    height, width = canvas.shape[:2]
    for mark in reversed(list(_marks(detections, height, width))):
        _draw(canvas, mark)
    draw_caption(canvas, caption)
    return canvas


def drawn_rows(detections: Detections, height: int, width: int, caption: Caption = ()) -> Iterator[tuple[int, int]]:
    """The first pixel row that each box and the caption are drawn on, and the one after its last."""
    yield from captioned_rows(caption, height, width)
    for mark in _marks(detections, height, width):
        edge = mark.line + mark.stroke + 1
        top = min(mark.top, mark.bottom, mark.field_bottom - mark.field_height) - edge
        bottom = max(mark.top, mark.bottom, mark.field_bottom) + edge + 1
        if top < height and bottom > 0:
            yield max(0, top), min(height, bottom)


@dataclass(frozen=True, slots=True)
class _Mark:
    """Where a box and its text go, in pixels: the text in a field above the box, or inside where there is no room."""

    left: int
    top: int
    right: int
    bottom: int
    field_left: int
    field_bottom: int
    field_width: int
    field_height: int
    baseline: int
    line: int
    scale: float
    stroke: int
    text: str
    colour: Colour


def _marks(detections: Detections, height: int, width: int) -> Iterator[_Mark]:
    line, scale, stroke = max(1, round(height / 400)), max(0.35, height / 1200), max(1, round(height / 700))
    rows = zip(detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True)
    for box, score, label in rows:
        left, top, right, bottom = (round(edge) for edge in box)
        name = detections.names[label]
        text = f"{name}:{score:.2f}"
        (text_width, text_height), baseline = text_size(text, scale, stroke)
        field_height = text_height + baseline + line
        yield _Mark(
            left,
            top,
            right,
            bottom,
            max(0, min(left, width - text_width)),
            top if top >= field_height else min(top + field_height, height),
            text_width,
            field_height,
            baseline,
            line,
            scale,
            stroke,
            text,
            colour_of(name, label),
        )


def _draw(canvas: Pixels, mark: _Mark) -> None:
    cv2.rectangle(canvas, (mark.left, mark.top), (mark.right, mark.bottom), mark.colour, mark.line)
    left, bottom = mark.field_left, mark.field_bottom
    corners = (left, bottom - mark.field_height), (left + mark.field_width, bottom)
    cv2.rectangle(canvas, *corners, mark.colour, cv2.FILLED)
    ink = WHITE if _is_dark(mark.colour) else BLACK
    cv2.putText(canvas, mark.text, (left, bottom - mark.baseline), FONT, mark.scale, ink, mark.stroke, cv2.LINE_AA)


def _is_dark(colour: Colour) -> bool:
    """By luma (ITU-R BT.601)."""
    blue, green, red = colour
    return 0.114 * blue + 0.587 * green + 0.299 * red < 128
