"""Boxes on JPEGs: what no box touches is not encoded again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DropMessage
from pipeline.image import BLOCK, Image, decode_jpeg, encode_jpeg
from pipeline.model import Detections
from stages.vision import draw_jpeg as module
from stages.vision.draw import draw_boxes, draw_onto
from stages.vision.draw_jpeg import draw_jpeg, redraw_jpeg
from stages.vision.jpeg_rows import JpegRows
from tests.examples import pixels

QUALITY = 85
NAMES = ("person", "helmet", "helmet_on", "gypsy")


def seen(*boxes: tuple[float, float, float, float]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.5, count, dtype=np.float32),
        np.arange(count, dtype=np.int32) % len(NAMES),
        NAMES,
    )


def picture(width: int = 320, height: int = 400) -> Image:
    return Image(pixels=pixels(width, height), quality=QUALITY)


def low_box(height: int = 400) -> Detections:
    return seen((20, height - 30, 60, height - 20))


@st.composite
def pictures_with_boxes(draw: st.DrawFn) -> tuple[Image, Detections]:
    width, height = draw(st.integers(1, 400)), draw(st.integers(1, 400))
    x, y = st.floats(-50, width + 50, width=32), st.floats(-50, height + 50, width=32)
    boxes = draw(st.lists(st.tuples(x, y, x, y), max_size=4))
    return picture(width, height), seen(*boxes)


CAPTIONS = st.sampled_from([(), ("hard | IBT",), ("hard | IBT", "the reason is a long one " * 9)])


@given(pictures_with_boxes(), CAPTIONS)
def test_a_drawn_picture_has_the_bytes_of_one_that_was_encoded_whole(
    drawn: tuple[Image, Detections], caption: tuple[str, ...]
) -> None:
    image, boxes = drawn
    whole = encode_jpeg(draw_boxes(image.pixels, boxes, caption), QUALITY)
    assert draw_jpeg(image, boxes, QUALITY, encoded=False, caption=caption) == whole
    assert draw_jpeg(image, boxes, QUALITY, encoded=True, caption=caption) == whole


@pytest.mark.parametrize("box", [(20, 380, 60, 40), (-1e6, -1e6, 1e6, 1e6)], ids=["upside-down", "huge"])
def test_a_box_from_elsewhere_is_drawn_the_same_too(box: tuple[float, float, float, float]) -> None:
    image = picture()
    whole = encode_jpeg(draw_boxes(image.pixels, seen(box)), QUALITY)
    assert draw_jpeg(image, seen(box), QUALITY, encoded=True) == whole


@given(pictures_with_boxes(), CAPTIONS)
def test_a_redrawn_jpeg_has_the_rows_of_one_that_was_encoded_whole_or_its_own(
    drawn: tuple[Image, Detections], caption: tuple[str, ...]
) -> None:
    image, boxes = drawn
    before = JpegRows.of(image.jpeg)
    whole = JpegRows.of(encode_jpeg(draw_onto(decode_jpeg(image.jpeg), boxes, caption), QUALITY))
    after = JpegRows.of(redraw_jpeg(image.jpeg, boxes, QUALITY, caption))
    assert before is not None
    assert whole is not None
    assert after is not None
    assert after.header == before.header
    assert all(row in both for row, *both in zip(after.rows, before.rows, whole.rows, strict=True))


def test_only_rows_with_a_box_are_decoded_and_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    image, heights = picture(), list[int]()

    def encoded(part: np.ndarray, quality: int) -> bytes:
        heights.append(part.shape[0])
        return encode_jpeg(part, quality)

    def decoded(jpeg: bytes) -> np.ndarray:
        part = decode_jpeg(jpeg)
        heights.append(part.shape[0])
        return part

    assert image.jpeg
    monkeypatch.setattr(module, "encode_jpeg", encoded)
    monkeypatch.setattr(module, "decode_jpeg", decoded)
    draw_jpeg(image, low_box(), QUALITY, encoded=True)
    redraw_jpeg(image.jpeg, low_box(), QUALITY)
    assert heights
    assert sum(heights) < image.height


def test_a_caption_is_the_same_on_both_revisions_and_touches_no_row_above_it() -> None:
    image, caption = picture(), ("hard | IBT",)
    edge = JpegRows.of(draw_jpeg(image, seen(), QUALITY, encoded=True, caption=caption))
    cloud = JpegRows.of(redraw_jpeg(image.jpeg, seen(), QUALITY, caption))
    travelled = JpegRows.of(image.jpeg)
    assert edge is not None
    assert cloud is not None
    assert travelled is not None
    assert edge.rows[-1] == cloud.rows[-1] != travelled.rows[-1]
    assert edge.rows[:-2] == cloud.rows[:-2] == travelled.rows[:-2]


def test_rows_without_a_box_stay_as_they_travelled() -> None:
    image = picture()
    before, after = JpegRows.of(image.jpeg), JpegRows.of(redraw_jpeg(image.jpeg, low_box(), QUALITY))
    assert before is not None
    assert after is not None
    same = [mine == theirs for mine, theirs in zip(before.rows, after.rows, strict=True)]
    assert all(same[:20])
    assert not all(same)


def test_a_jpeg_on_which_nothing_is_drawn_stays_as_it_travelled() -> None:
    image = picture()
    assert redraw_jpeg(image.jpeg, seen(), QUALITY) == image.jpeg


@pytest.mark.parametrize("width", [1, 17, 320])
@pytest.mark.parametrize("height", [1, BLOCK, 150, 400])
def test_a_jpeg_taken_apart_and_put_together_is_the_same(width: int, height: int) -> None:
    jpeg = picture(width, height).jpeg
    rows = JpegRows.of(jpeg)
    assert rows is not None
    assert rows.jpeg == jpeg
    assert len(rows.rows) == -(-height // BLOCK)


def test_a_strip_is_a_jpeg_of_its_own() -> None:
    image = picture(height=150)
    rows = JpegRows.of(image.jpeg)
    assert rows is not None
    whole = decode_jpeg(image.jpeg)
    assert np.array_equal(decode_jpeg(rows.cut(range(5, 10)).jpeg)[BLOCK:], whole[6 * BLOCK :])


def others_jpeg(options: tuple[int, ...]) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels(320, 400), options)[1].data)


@pytest.mark.parametrize(
    "options",
    [
        (),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 7),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 20, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 20, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 20, cv2.IMWRITE_JPEG_QUALITY, 60),
    ],
    ids=["no-markers", "other-markers", "progressive", "full-colour", "other-quality"],
)
def test_a_jpeg_of_another_kind_is_encoded_whole(options: tuple[int, ...]) -> None:
    jpeg = others_jpeg(options)
    boxes = low_box()
    whole = encode_jpeg(draw_onto(decode_jpeg(jpeg), boxes), QUALITY)
    assert redraw_jpeg(jpeg, boxes, QUALITY) == whole
    assert draw_jpeg(Image(jpeg=jpeg), boxes, QUALITY, encoded=True) == whole


def test_a_grey_jpeg_is_encoded_whole() -> None:
    jpeg = bytes(cv2.imencode(".jpg", pixels()[:, :, 0], (cv2.IMWRITE_JPEG_RST_INTERVAL, 4))[1].data)
    assert JpegRows.of(jpeg) is None


@pytest.mark.parametrize("cut", [1, 2, 30, 200, -1])
def test_a_jpeg_that_is_cut_short_is_none_of_ours(cut: int) -> None:
    assert JpegRows.of(picture().jpeg[:cut]) is None


def test_a_damaged_jpeg_raises() -> None:
    with pytest.raises(DropMessage, match="cannot be decoded"):
        redraw_jpeg(picture().jpeg[:400], low_box(), QUALITY)
