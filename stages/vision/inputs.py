"""What a detector is fed: which input takes the picture, of what size and layout, and which takes its shape."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.errors import ConfigError
from stages.runtime import Array, ModelSession, TensorInfo

LONGEST_SIDE: Final = 8192


@dataclass(frozen=True, slots=True)
class InputPlan:
    """How the inputs of one model are fed.

    Attributes:
        picture: the name of the input for the picture.
        dtype: its type: float32 or float16.
        height: of the picture fed.
        width: of the picture fed.
        channels_last: (1, H, W, 3) instead of (1, 3, H, W).
        picture_shape: the input for the source's height and width, where there is one.
    """

    picture: str
    dtype: np.dtype[Any]
    height: int
    width: int
    channels_last: bool
    picture_shape: TensorInfo | None

    def feeds(self, tensor: Array, source_height: int, source_width: int) -> dict[str, Array]:
        """The inputs of one run, from a letterboxed tensor and the size of the picture that it came from."""
        feeds = {self.picture: tensor.astype(self.dtype, copy=False)}
        if self.picture_shape is not None:
            shape = np.array((source_height, source_width), self.picture_shape.dtype)
            feeds[self.picture_shape.name] = shape[None] if len(self.picture_shape.shape) == 2 else shape
        return feeds


def plan_inputs(section: str, session: ModelSession, input_shape: tuple[int, int] | None) -> InputPlan:
    """Work out how to feed a model.

    The size is the model's own where that is fixed, else ``input_shape`` (height, width), else the metadata's
    ``imgsz``.

    Raises:
        ConfigError: the model is fed otherwise, or no size is known, or it does not fit the model.
    """
    picture, picture_shape = _roles(section, session.inputs)
    channels_last = picture.shape[3] == 3 and picture.shape[1] != 3
    sides = picture.shape[1:3] if channels_last else picture.shape[2:4]
    height, width = _size(section, sides, input_shape, session.metadata)
    assert picture.dtype is not None  # noqa: S101 - _roles has seen to it
    return InputPlan(picture.name, picture.dtype, height, width, channels_last, picture_shape)


def _roles(section: str, inputs: Sequence[TensorInfo]) -> tuple[TensorInfo, TensorInfo | None]:
    pictures = [info for info in inputs if _takes_picture(info)]
    shapes = [info for info in inputs if _takes_shape(info)]
    if len(pictures) != 1 or len(shapes) > 1 or len(inputs) != len(pictures) + len(shapes):
        seen = ", ".join(f"{info} {info.dtype}" for info in inputs)
        raise ConfigError(
            f"{section}.model",
            f"its inputs are {seen or 'none'}, but a detector takes one picture, (1, 3, H, W) or (1, H, W, 3) of "
            "float32 or float16, and at most its height and width beside it: export it so",
        )
    return pictures[0], shapes[0] if shapes else None


def _takes_picture(info: TensorInfo) -> bool:
    if info.dtype not in (np.float32, np.float16) or len(info.shape) != 4:
        return False
    batch, channels = info.shape[0], (info.shape[1], info.shape[3])
    return batch in (None, 1) and (3 in channels or channels[0] is None)


def _takes_shape(info: TensorInfo) -> bool:
    return (
        info.dtype is not None
        and info.dtype.kind in "if"
        and len(info.shape) in (1, 2)
        and info.shape[-1] in (None, 2)
        and info.shape[0] in (None, 1, 2)
    )


def _size(
    section: str,
    sides: tuple[int | None, ...],
    wanted: tuple[int, int] | None,
    metadata: Mapping[str, str],
) -> tuple[int, int]:
    chosen = wanted or _metadata_size(metadata) or sides
    height, width = (side or own for side, own in zip(sides, chosen, strict=True))
    if height is None or width is None:
        raise ConfigError(
            f"{section}.input_shape", 'the model takes pictures of any size: set it to "height,width", e.g. "416,416"'
        )
    if wanted is not None and wanted != (height, width):
        raise ConfigError(
            f"{section}.input_shape",
            f"{_text(wanted)} is not what the model is made for, {_text((height, width))}: set that, or leave it out",
        )
    if max(height, width) > LONGEST_SIDE or min(height, width) < 1:
        raise ConfigError(
            f"{section}.input_shape",
            f"{_text((height, width))} has a side outside of 1 to {LONGEST_SIDE}: choose another",
        )
    for side, own in zip((height, width), sides, strict=True):
        if own is None:
            _check_stride(section, side, metadata)
    return height, width


def _metadata_size(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Ultralytics' ``imgsz``: ``[h, w]``, or one number for both."""
    value = parse_literal(metadata.get("imgsz", ""))
    sides = (value, value) if isinstance(value, int) else value
    if not isinstance(sides, list | tuple) or len(sides) != 2:
        return None
    height, width = sides
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _check_stride(section: str, side: int, metadata: Mapping[str, str]) -> None:
    stride = parse_literal(metadata.get("stride", ""))
    if isinstance(stride, int) and stride > 0 and side % stride:
        below, above = side // stride * stride, (side // stride + 1) * stride
        nearest = f"{below} or {above}" if below else f"{above}"
        raise ConfigError(
            f"{section}.input_shape", f"{side} is no multiple of {stride}, the model's stride: use {nearest}"
        )


def _text(shape: tuple[int, int]) -> str:
    return f'"{shape[0]},{shape[1]}"'


def parse_literal(text: str) -> object:
    """A Python literal, as Ultralytics writes its metadata; None where it is none."""
    try:
        value: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value
