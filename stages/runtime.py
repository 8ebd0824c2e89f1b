"""What a model runtime offers to the stages. ``stages.session`` is the one that there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output as the model declares it.

    Attributes:
        shape: its dimensions; None for a free one.
        dtype: the numpy type of its elements; None for what numpy has no type for (strings, sequences).
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any] | None

    def __str__(self) -> str:
        return f"{self.name} ({', '.join('?' if side is None else str(side) for side in self.shape)})"


class ModelSession(Protocol):
    """A loaded model. It is called by one thread at a time."""

    @property
    def inputs(self) -> Sequence[TensorInfo]:
        """The inputs, in the model's order."""

    @property
    def outputs(self) -> Sequence[TensorInfo]:
        """The outputs, in the model's order."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the exporter wrote into the model."""

    @property
    def provider(self) -> str:
        """The execution provider that runs the model, or most of it."""

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run the model once and return its outputs in the model's order.

        Raises:
            DropMessage: the model refuses these inputs, or fails on them.
        """
