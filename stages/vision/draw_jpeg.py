"""JPEGs with boxes and a caption on them. What neither touches is not encoded again where there is a JPEG of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import numpy as np

from pipeline.image import BLOCK, Image, Pixels, decode_jpeg, encode_jpeg, jpeg_size
from pipeline.model import Detections
from stages.vision.caption import Caption
from stages.vision.draw import draw_boxes, draw_onto, drawn_rows
from stages.vision.jpeg_rows import JpegRows

_CLOSE: Final = 2
"""Runs with so few rows between them are one: each costs a call of its own."""


def draw_jpeg(image: Image, detections: Detections, quality: int, *, encoded: bool, caption: Caption = ()) -> bytes:
    """A picture with boxes and a caption, as JPEG of ``quality``.

    Where the picture has pixels of its own, these are the bytes that drawing on them and encoding it all gives. Of one
    that came as JPEG, the rows without either stay as they came, if it has our form and ``quality``.

    Args:
        image: left as it is.
        detections: boxes in its pixels.
        quality: 1 to 100.
        encoded: whether the picture is encoded already, so that rows without a box can be taken from its JPEG.
        caption: text along the lower edge; see ``draw_boxes``.

    Raises:
        DropMessage: the picture cannot be decoded or encoded.
    """
    pixels = image.pixels
    whole = _exchangeable(image.jpeg, image.width, quality) if encoded else None
    if whole is None:
        return encode_jpeg(draw_boxes(pixels, detections, caption), quality)
    runs = _runs(detections, image.height, image.width, caption)
    canvas = np.empty_like(pixels)
    for run in runs:
        canvas[_lines(run)] = pixels[_lines(run)]
    return _with_runs(whole, runs, draw_onto(canvas, detections, caption), quality)


def redraw_jpeg(jpeg: bytes, detections: Detections, quality: int, caption: Caption = ()) -> bytes:
    """A JPEG with boxes and a caption on it. Rows without either stay as they are, if it has our form and ``quality``.

    Raises:
        DropMessage: it cannot be decoded.
    """
    width, height = jpeg_size(jpeg)
    whole = _exchangeable(jpeg, width, quality)
    if whole is None:
        return encode_jpeg(draw_onto(decode_jpeg(jpeg), detections, caption), quality)
    runs = _runs(detections, height, width, caption)
    canvas = np.empty((height, width, 3), np.uint8)
    for run in runs:
        canvas[_lines(run)] = _decoded(whole, run)
    return _with_runs(whole, runs, draw_onto(canvas, detections, caption), quality)


def _exchangeable(jpeg: bytes, width: int, quality: int) -> JpegRows | None:
    """A JPEG taken apart; None where rows that are encoded at ``quality`` would mean another picture in it."""
    whole = JpegRows.of(jpeg)
    return whole if whole is not None and whole.header == _header(width, quality) else None


@lru_cache(maxsize=64)
def _header(width: int, quality: int) -> bytes:
    """What begins our JPEGs of this width and quality."""
    return _rows(encode_jpeg(np.zeros((BLOCK, width, 3), np.uint8), quality)).header


def _rows(jpeg: bytes) -> JpegRows:
    rows = JpegRows.of(jpeg)
    assert rows is not None  # noqa: S101 - encode_jpeg gives what can be taken apart
    return rows


def _runs(detections: Detections, height: int, width: int, caption: Caption) -> list[range]:
    """Rows of blocks that are drawn on, in runs from top to bottom."""
    runs: list[range] = []
    for top, bottom in sorted(drawn_rows(detections, height, width, caption)):
        first, stop = top // BLOCK, -(-bottom // BLOCK)
        if runs and first - runs[-1].stop <= _CLOSE:
            runs[-1] = range(runs[-1].start, max(runs[-1].stop, stop))
        else:
            runs.append(range(first, stop))
    return runs


def _lines(run: range) -> slice:
    return slice(run.start * BLOCK, run.stop * BLOCK)


def _decoded(whole: JpegRows, run: range) -> Pixels:
    """The pixels of a run. Colour is smoothed across the edges of rows, so their neighbours are decoded with them."""
    start, stop = max(0, run.start - 1), min(len(whole.rows), run.stop + 1)
    first = (run.start - start) * BLOCK
    return decode_jpeg(whole.cut(range(start, stop)).jpeg)[first : first + len(run) * BLOCK]


def _with_runs(whole: JpegRows, runs: Iterable[range], canvas: Pixels, quality: int) -> bytes:
    """The JPEG with these runs from ``canvas``."""
    for run in runs:
        whole = whole.with_rows(run.start, _rows(encode_jpeg(canvas[_lines(run)], quality)))
    return whole.jpeg
