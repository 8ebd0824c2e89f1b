"""Entropy: boxes whose scores say little, bit by bit."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.mining.uncertain import Floats, UncertainBoxes

TINY: Final = 1e-12
"""A probability whose p log p is as good as 0, which it is for p = 0."""


class Entropy(UncertainBoxes):
    """Hard if the entropies of the boxes, put together, reach ``threshold``.

    A box has -s log2 s - (1 - s) log2 (1 - s) bits, those of the question whether it shows an object (Shannon 1948;
    for detectors Roy, Unmesh, Namboodiri, "Deep active learning for object detection", BMVC 2018). Sedna's
    ``CrossEntropy`` leaves out the second term and divides by ln n.
    """

    name: ClassVar[str] = "Entropy"
    what: ClassVar[str] = "entropy"

    threshold: float = Field(12.5, ge=0, allow_inf_nan=False, description="a frame is hard that has so many bits of it")

    @property
    def limit(self) -> float:
        """The threshold."""
        return self.threshold

    def uncertainties(
        self,
        boxes: npt.NDArray[np.float32],  # noqa: ARG002 - scores say it all
        scores: Floats,
        labels: npt.NDArray[np.int32],  # noqa: ARG002
    ) -> Floats:
        """Bits, from 0 to 1."""
        p, q = np.maximum(scores, TINY), np.maximum(1 - scores, TINY)
        bits: Floats = np.maximum(-(p * np.log2(p) + q * np.log2(q)), 0)
        return bits
