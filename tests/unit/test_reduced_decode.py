"""``Image.pixels_at_least``: a JPEG decoded no larger than needed."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.image import Image, decode_jpeg, encode_jpeg

JPEG = encode_jpeg(np.full((480, 800, 3), 90, np.uint8), 90)


@pytest.mark.parametrize(
    ("wanted", "shape"),
    [
        ((800, 480), (480, 800, 3)),
        ((401, 240), (480, 800, 3)),
        ((400, 241), (480, 800, 3)),
        ((400, 240), (240, 400, 3)),
        ((200, 120), (120, 200, 3)),
        ((100, 60), (60, 100, 3)),
        ((1, 1), (60, 100, 3)),
        ((9000, 1), (480, 800, 3)),
    ],
)
def test_it_is_the_smallest_that_is_enough(wanted: tuple[int, int], shape: tuple[int, int, int]) -> None:
    assert Image(jpeg=JPEG).pixels_at_least(*wanted).shape == shape


def test_the_smaller_one_is_not_kept() -> None:
    image = Image(jpeg=JPEG)
    image.pixels_at_least(100, 60)
    assert image.pixels.shape == (480, 800, 3)


def test_pixels_that_are_there_come_as_they_are() -> None:
    image = Image(jpeg=JPEG)
    pixels = image.pixels
    assert image.pixels_at_least(10, 10) is pixels


def test_a_jpeg_is_decoded_in_the_size_that_it_states() -> None:
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = JPEG[:2] + b"\xff\xe1" + (len(turned) + 2).to_bytes(2, "big") + turned + JPEG[2:]
    assert (Image(jpeg=jpeg).width, Image(jpeg=jpeg).height) == (800, 480)
    assert decode_jpeg(jpeg).shape == (480, 800, 3)
    assert decode_jpeg(jpeg, reduce=2).shape == (240, 400, 3)
