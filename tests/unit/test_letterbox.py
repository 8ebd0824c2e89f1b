"""The letterbox and its way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.vision.letterbox import Letterbox, Placement

GREY = np.float32(114) * np.float32(1 / 255)


@pytest.mark.parametrize(
    ("source", "target", "place"),
    [
        ((1280, 720), (416, 416), (0, 91, 416, 234)),
        ((1280, 720), (256, 416), (0, 11, 416, 234)),
        ((100, 400), (416, 416), (156, 0, 104, 416)),
        ((52, 32), (256, 416), (0, 0, 416, 256)),
        ((10_000, 1), (64, 64), (0, 31, 64, 1)),
    ],
)
def test_the_picture_is_as_large_as_fits_and_centred(
    source: tuple[int, int], target: tuple[int, int], place: tuple[int, int, int, int]
) -> None:
    found = Placement.fit(*source, *target)
    assert (found.left, found.top, found.width, found.height) == place


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 40), st.integers(1, 40))
def test_it_never_leaves_the_input(width: int, height: int, rows: int, columns: int) -> None:
    place = Placement.fit(width, height, 32 * rows, 32 * columns)
    assert place.left >= 0
    assert place.top >= 0
    assert 1 <= place.width <= 32 * columns - place.left
    assert 1 <= place.height <= 32 * rows - place.top


@given(st.integers(20, 4000), st.integers(20, 4000))
def test_a_box_comes_back_where_it_was(width: int, height: int) -> None:
    place = Placement.fit(width, height, 256, 416)
    box = np.array([[0.1 * width, 0.2 * height, 0.7 * width, 0.9 * height]], np.float32)
    scale = np.array([place.width / width, place.height / height] * 2, np.float32)
    inside = box * scale + np.array([place.left, place.top] * 2, np.float32)
    assert place.to_source(inside) == pytest.approx(box, abs=1e-3 * max(width, height))


def test_boxes_are_clipped_to_the_picture() -> None:
    place = Placement.fit(1280, 720, 416, 416)
    box = np.array([[-50, 0, 500, 416]], np.float32)
    assert place.to_source(box).tolist() == [[0, 0, 1280, 720]]


def test_pixels_become_rgb_from_0_to_1_between_grey() -> None:
    pixels = np.empty((20, 40, 3), np.uint8)
    pixels[:] = (255, 51, 0)
    tensor = Letterbox(64, 64).fill(pixels, Placement.fit(40, 20, 64, 64))
    assert tensor.shape == (1, 3, 64, 64)
    assert tensor.dtype == np.float32
    assert tensor[0, :, 16:48].transpose(1, 2, 0) == pytest.approx(np.broadcast_to([0, 0.2, 1], (32, 64, 3)))
    assert (tensor[0, :, :16] == GREY).all()
    assert (tensor[0, :, 48:] == GREY).all()


def test_channels_last_holds_the_same() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 50, 3), np.uint8)
    place = Placement.fit(50, 30, 64, 96)
    first = Letterbox(64, 96).fill(pixels, place)
    last = Letterbox(64, 96, channels_last=True).fill(pixels, place)
    assert last.shape == (1, 64, 96, 3)
    assert (last[0] == first[0].transpose(1, 2, 0)).all()


def test_nothing_is_left_of_a_picture_of_another_shape() -> None:
    box = Letterbox(64, 64, grey=128)
    box.fill(np.zeros((64, 64, 3), np.uint8), Placement.fit(64, 64, 64, 64))
    tensor = box.fill(np.zeros((20, 40, 3), np.uint8), Placement.fit(40, 20, 64, 64))
    assert (tensor[0, :, :16] == np.float32(128) * np.float32(1 / 255)).all()


def test_a_smaller_copy_lands_in_the_same_place() -> None:
    place = Placement.fit(400, 200, 64, 64)
    full = Letterbox(64, 64).fill(np.full((200, 400, 3), 200, np.uint8), place)
    half = Letterbox(64, 64).fill(np.full((100, 200, 3), 200, np.uint8), place)
    assert (full == half).all()


def test_a_one_pixel_picture_fills_its_place() -> None:
    tensor = Letterbox(32, 64).fill(np.full((1, 1, 3), 255, np.uint8), Placement.fit(1, 1, 32, 64))
    assert (tensor[0, :, :, 16:48] == 1).all()
