"""Which source frames become pictures: a pure function of a frame's number and the source's frame rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

DEFAULT_FPS: Final = 25.0
"""Taken for a source that states no frame rate."""


class Sampling(Protocol):
    """A choice of source frames. The first one is always in it."""

    def takes(self, seq: int, source_fps: float) -> bool:
        """Whether the source frame ``seq``, counted from 1, becomes a picture."""


@dataclass(frozen=True, slots=True)
class Every:
    """Every ``n``-th frame: 10 takes 1, 11, 21."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"every {self.n} frames is no sampling: use 1 or more")

    def takes(self, seq: int, source_fps: float) -> bool:  # noqa: ARG002 - the rate does not matter here
        """Whether ``seq`` is 1, 1 + n, 1 + 2n and so on."""
        return (seq - 1) % self.n == 0


@dataclass(frozen=True, slots=True)
class AtRate:
    """``fps`` frames per second of media time on average, and never more than the source has.

    Frame ``seq`` is taken when a new interval of 1 / ``fps`` seconds has begun since the frame before it.
    """

    fps: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"{self.fps:g} frames per second is no sampling: use a number above 0")

    def takes(self, seq: int, source_fps: float) -> bool:
        """Whether ``seq`` is the first frame of its interval."""
        return seq == 1 or self._interval(seq, source_fps) != self._interval(seq - 1, source_fps)

    def _interval(self, seq: int, source_fps: float) -> int:
        # the tiny step keeps rounding from moving a frame that stands right on a border
        return math.floor((seq - 1) * min(1.0, self.fps / source_fps) + 1e-9)
