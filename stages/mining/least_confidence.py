"""LeastConfidence: boxes that are as good as undecided between object and background."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.mining.uncertain import Floats, UncertainBoxes


class LeastConfidence(UncertainBoxes):
    """Hard if the least confidences of the boxes, put together, reach ``threshold``.

    A box has 1 - max(s, 1 - s) = min(s, 1 - s): one minus the probability of what is likelier, that it shows an object
    or background (Lewis, Gale, "A sequential algorithm for training text classifiers", SIGIR 1994; Settles, "Active
    Learning Literature Survey", 2009, section 3.1).
    """

    name: ClassVar[str] = "LeastConfidence"
    what: ClassVar[str] = "least confidence"

    threshold: float = Field(4.3, ge=0, allow_inf_nan=False, description="a frame is hard that has this or more of it")

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
        """min(s, 1 - s), from 0 to 0.5."""
        return np.minimum(scores, 1 - scores)
