"""What every head is decoded to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stages.runtime import Array
from stages.vision.letterbox import GREY

MOST_CLASSES: Final = 4096
"""Labels from here on are noise, and no model has so many classes."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes in columns, in no order.

    Attributes:
        boxes: (N, 4) float32 xyxy.
        scores: (N,) float32.
        labels: (N,) int32.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Candidates:
        """Those at these indices or where the mask is true."""
        return Candidates(self.boxes[which], self.scores[which], self.labels[which])

    def sound(self, floor: float) -> Candidates:
        """Those that score ``floor`` or more, by finite numbers, for a class that can exist."""
        kept = (self.scores >= np.float32(floor)) & np.isfinite(self.scores) & np.isfinite(self.boxes).all(axis=1)
        kept &= (self.labels >= 0) & (self.labels < MOST_CLASSES)
        return self if kept.all() else self.take(kept)


Decode = Callable[[Sequence[Array], float], Candidates]
"""From a model's outputs, and the score below which nothing is wanted, to candidates."""


@dataclass(frozen=True, slots=True)
class Head:
    """How a model's outputs are read.

    Attributes:
        layout: its name for people.
        classes: how many classes it has; None where the outputs do not tell.
        needs_nms: False where the model did it.
        in_source_pixels: True where boxes come in pixels of the source, False for those of the input.
        grey: what the model was trained to see around a picture, of 255.
    """

    layout: str
    classes: int | None
    decode: Decode
    needs_nms: bool = True
    in_source_pixels: bool = False
    grey: int = GREY
