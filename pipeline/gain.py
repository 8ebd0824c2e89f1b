"""What the cloud is worth to a stream, as its ``state`` says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Found:
    """The frames that the miner found hard, or those that it found easy.

    Attributes:
        frames: how many there are.
        answered: of how many the cloud has seen as well; of easy ones those that were audited.
        missed: in how many of these it saw something that the edge did not see.
        corrected: in how many of these it changed anything: a box came, went, or is of another class.
    """

    frames: int = 0
    answered: int = 0
    missed: int = 0
    corrected: int = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share, and the bounds that hold it in 95 of 100 cases."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gain:
    """What the edge misses and what the cloud corrects, over all frames that a miner has judged.

    Attributes:
        hard: what was counted on hard frames.
        easy: what was counted on easy frames, of which the audit sends a random share.
        missed: the share of all frames in which the edge misses something. None while there is nothing to go by.
        corrected: the share of all frames that the cloud would correct, if it saw every one.
        recall: the share of the frames that the cloud would correct that the miner finds hard.
    """

    hard: Found = Found()
    easy: Found = Found()
    missed: Estimate | None = None
    corrected: Estimate | None = None
    recall: Estimate | None = None


NO_GAIN: Final = Gain()
"""Of a stream that no frame was judged of."""
