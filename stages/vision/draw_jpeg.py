"""JPEGs with boxes on them. What no box touches is not encoded again where there is a JPEG of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from pipeline.image import BLOCK, Image, Pixels, decode_jpeg, encode_jpeg
from pipeline.model import Detections
from stages.vision.draw import draw_boxes, draw_onto, drawn_rows
from stages.vision.jpeg_rows import JpegRows

_CLOSE: Final = 2
"""Runs with so few rows between them are one: each costs a call of its own."""


def draw_jpeg(image: Image, detections: Detections, quality: int, *, encoded: bool) -> bytes:
    """A picture with boxes, as JPEG of ``quality``.

    Where the picture has pixels of its own, these are the bytes that drawing on them and encoding it all gives. Of one
    that came as JPEG, the rows without a box stay as they came, if it has our form and ``quality``.

    Args:
        image: left as it is.
        detections: boxes in its pixels.
        quality: 1 to 100.
        encoded: whether the picture is encoded already, so that rows without a box can be taken from its JPEG.

    Raises:
        DropMessage: the picture cannot be decoded or encoded.
    """
    pixels = image.pixels
    whole = JpegRows.of(image.jpeg) if encoded else None
    if whole is None:
        return encode_jpeg(draw_boxes(pixels, detections), quality)
    runs = tuple(_runs(detections, pixels.shape[0], pixels.shape[1]))
    canvas = np.empty_like(pixels)
    for run in runs:
        canvas[_lines(run)] = pixels[_lines(run)]
    return _with_runs(whole, runs, draw_onto(canvas, detections), quality) or encode_jpeg(
        draw_boxes(pixels, detections), quality
    )


def redraw_jpeg(jpeg: bytes, detections: Detections, quality: int) -> bytes:
    """A JPEG with boxes on it. Rows without a box stay as they are, if it has our form and ``quality``.

    Raises:
        DropMessage: it cannot be decoded.
    """
    whole = JpegRows.of(jpeg)
    if whole is not None:
        width = Image(jpeg=jpeg).width
        runs = tuple(_runs(detections, whole.height, width))
        canvas = np.empty((whole.height, width, 3), np.uint8)
        for run in runs:
            canvas[_lines(run)] = _decoded(whole, run)
        drawn = _with_runs(whole, runs, draw_onto(canvas, detections), quality)
        if drawn is not None:
            return drawn
    return encode_jpeg(draw_onto(decode_jpeg(jpeg), detections), quality)


def _runs(detections: Detections, height: int, width: int) -> Iterator[range]:
    """Rows of blocks that are drawn on, in runs from top to bottom; the first row at least, to compare headers."""
    runs = sorted((top // BLOCK, -(-bottom // BLOCK)) for top, bottom in drawn_rows(detections, height, width))
    start, stop = 0, 1
    for first, last in runs:
        if first - stop > _CLOSE:
            yield range(start, stop)
            start = first
        stop = max(stop, last)
    yield range(start, stop)


def _lines(run: range) -> slice:
    return slice(run.start * BLOCK, run.stop * BLOCK)


def _decoded(whole: JpegRows, run: range) -> Pixels:
    """The pixels of a run. Colour is smoothed across the edges of rows, so their neighbours are decoded with them."""
    start, stop = max(0, run.start - 1), min(len(whole.rows), run.stop + 1)
    first = (run.start - start) * BLOCK
    return decode_jpeg(whole.cut(range(start, stop)).jpeg)[first : first + len(run) * BLOCK]


def _with_runs(whole: JpegRows, runs: Iterable[range], canvas: Pixels, quality: int) -> bytes | None:
    """The JPEG with these runs from ``canvas``; None where encoding at ``quality`` does not give the same tables."""
    for run in runs:
        strip = JpegRows.of(encode_jpeg(canvas[_lines(run)], quality))
        if strip is None or strip.header != whole.header:
            return None
        whole = whole.with_rows(run.start, strip)
    return whole.jpeg
