"""What people drew into pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture that may have labels.

    Attributes:
        key: what labels call it: a file's name without its suffix, or a frame's number.
        width: in pixels.
        height: in pixels.
    """

    key: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """An object.

    Attributes:
        name: of its class.
        xyxy: its corners, pixels.
        crowd: whether it is many objects that nobody told apart.
    """

    name: str
    xyxy: tuple[float, float, float, float]
    crowd: bool = False
