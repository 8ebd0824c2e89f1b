"""LeastConfidence: boxes that are as good as undecided between object and background."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from stages.mining.uncertain import Columns, Floats, Limit, UncertainBoxes


class LeastConfidence(UncertainBoxes):
    """Hard if the least confidences of the boxes, put together, reach ``threshold``.

    A box has 1 - max(s, 1 - s) = min(s, 1 - s): one minus the probability of what is likelier, that it shows an object
    or background (Lewis, Gale, "A sequential algorithm for training text classifiers", SIGIR 1994; Settles, "Active
    Learning Literature Survey", 2009, section 3.1).
    """

    name: ClassVar[str] = "LeastConfidence"
    what: ClassVar[str] = "least confidence"

    threshold: Limit = 4.3

    def uncertainties(self, seen: Columns) -> Floats:
        """min(s, 1 - s), from 0 to 0.5."""
        return np.minimum(seen.scores, 1 - seen.scores)
