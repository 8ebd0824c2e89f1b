"""Entropy: boxes whose scores say little, bit by bit."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from stages.mining.uncertain import Columns, Floats, Limit, UncertainBoxes

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

    threshold: Limit = 12.5

    def uncertainties(self, seen: Columns) -> Floats:
        """Bits, from 0 to 1."""
        p, q = np.maximum(seen.scores, TINY), np.maximum(1 - seen.scores, TINY)
        bits: Floats = np.maximum(-(p * np.log2(p) + q * np.log2(q)), 0)
        return bits
