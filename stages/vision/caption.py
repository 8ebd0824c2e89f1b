"""A caption on a picture: light text on a dark band along its lower edge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

import cv2

from pipeline.image import Pixels
from stages.vision.text import FONT, cut

Caption = Sequence[str]
"""Paragraphs, the most important first; none for a picture without a caption."""

_PAPER: Final = (32, 32, 32)
_INK: Final = (240, 240, 240)
_LARGEST_PART: Final = 4
"""The band takes a quarter of the picture's height at most, but a line at least."""


def draw_caption(canvas: Pixels, caption: Caption) -> None:
    """Draw a caption onto ``canvas``, (H, W, 3) uint8 BGR: wrapped, and ended with ``...`` where it is long."""
    if not caption:
        return
    band = _band(caption, *canvas.shape[:2])
    paper = canvas[band.top :]
    paper[:] = _PAPER
    for number, line in enumerate(band.lines, start=1):
        at = (band.margin, number * band.line_height)
        cv2.putText(paper, line, at, FONT, band.scale, _INK, band.stroke, cv2.LINE_AA)


def captioned_rows(caption: Caption, height: int, width: int) -> Iterator[tuple[int, int]]:
    """The first pixel row of the caption, and the one after its last; nothing where there is no caption."""
    if caption:
        yield _band(caption, height, width).top, height


@dataclass(frozen=True, slots=True)
class _Band:
    """Where a caption goes, in pixels."""

    top: int
    margin: int
    line_height: int
    scale: float
    stroke: int
    lines: tuple[str, ...]


def _band(caption: Caption, height: int, width: int) -> _Band:
    side = min(height, width)
    scale, stroke = max(0.4, side / 1200), max(1, round(side / 700))
    (_, letter_height), baseline = cv2.getTextSize("Ag", FONT, scale, stroke)
    margin, line_height = max(3, letter_height // 2), letter_height + baseline
    room, most = width - 2 * margin, max(1, (height // _LARGEST_PART - margin) // line_height)
    texts = (text.encode("ascii", "replace").decode() for text in caption)
    lines = list(islice(chain.from_iterable(_wrapped(text, room, scale, stroke) for text in texts), most + 1))
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} ..."]
    fitting = tuple(cut(line, room, scale, stroke) for line in lines)
    return _Band(max(0, height - len(lines) * line_height - margin), margin, line_height, scale, stroke, fitting)


def _wrapped(text: str, width: int, scale: float, stroke: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and cv2.getTextSize(longer, FONT, scale, stroke)[0][0] > width:
            yield line
            longer = word
        line = longer
    yield line
