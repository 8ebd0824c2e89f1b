"""The small grey picture that miners look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DropMessage
from pipeline.image import Image, encode_jpeg
from pipeline.model import Detections
from stages.mining.miner import View
from stages.vision.grey import small_grey

sides = st.integers(1, 700)


def noise(height: int, width: int, low: int = 0, high: int = 256) -> Image:
    pixels = np.random.default_rng(0).integers(low, high, (height, width, 3), np.uint8)
    return Image(pixels=pixels)


@given(sides, sides)
def test_it_is_64_pixels_wide_and_keeps_its_sides_in_proportion(height: int, width: int) -> None:
    grey = small_grey(noise(height, width))
    assert grey.dtype == np.uint8
    assert grey.shape == (max(1, round(height * 64 / width)), 64)


@pytest.mark.parametrize("height", [360, 540, 720, 1080, 2160])
def test_it_is_the_mean_luma(height: int) -> None:
    width = height * 16 // 9
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2] = (10, 100, 200)  # blue, green, red
    pixels[::2, width // 2 :] = 200  # every other line
    grey = small_grey(Image(pixels=pixels)).astype(float)
    assert np.abs(grey[:, :32] - (0.114 * 10 + 0.587 * 100 + 0.299 * 200)).max() <= 1
    assert grey[:, 32:].mean() == pytest.approx(100, abs=15)


@pytest.mark.parametrize("height", [360, 411, 540, 719, 720, 1080])
def test_each_row_and_column_is_of_its_place(height: int) -> None:
    """A ramp stays one, from edge to edge."""
    width = height * 16 // 9
    for ramp in (np.linspace(0, 255, height)[:, None], np.linspace(0, 255, width)):
        pixels = np.broadcast_to(ramp[..., None].astype(np.uint8), (height, width, 3))
        grey = small_grey(Image(pixels=np.ascontiguousarray(pixels))).astype(float)
        line = grey.mean(axis=1) if ramp.ndim == 2 else grey.mean(axis=0)
        wanted = (np.arange(len(line)) + 0.5) / len(line) * 255
        assert np.abs(line - wanted).max() <= 1.7


def test_a_jpeg_gives_nearly_the_same_as_its_pixels() -> None:
    smooth = np.linspace(0, 255, 1280 * 720).reshape(720, 1280).astype(np.uint8)
    pixels = np.repeat(smooth[:, :, None], 3, axis=2)
    grey = small_grey(Image(pixels=pixels)).astype(float)
    assert np.abs(grey - small_grey(Image(jpeg=encode_jpeg(pixels, 90)))).max() <= 3


def test_a_damaged_jpeg_and_no_picture_are_said() -> None:
    jpeg = encode_jpeg(np.zeros((720, 1280, 3), np.uint8), 90)
    with pytest.raises(DropMessage, match="decoded"):
        small_grey(Image(jpeg=jpeg[: len(jpeg) // 3]))
    nothing = View("gate", 7, 0.0, 64, 48, Detections.empty(), Detections.empty(), 0.3)
    with pytest.raises(ValueError, match="gate/7: this miner needs the picture"):
        _ = nothing.grey


def test_it_is_made_once_a_view() -> None:
    view = replace(View("gate", 7, 0.0, 64, 48, Detections.empty(), Detections.empty(), 0.3), image=noise(48, 64))
    assert view.grey is view.grey
