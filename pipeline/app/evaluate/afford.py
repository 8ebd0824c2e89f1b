"""What part of all pictures, or of their bytes, a budget pays for."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.budget import Budget
from pipeline.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Affordable:
    """The part that may be sent.

    Attributes:
        ratio: from 0 to 1.
        by_bytes: whether it is a part of the bytes rather than of the pictures.
    """

    ratio: float
    by_bytes: bool

    def __str__(self) -> str:
        """For people."""
        return f"{100 * self.ratio:.3g} % of the {'bytes' if self.by_bytes else 'pictures'}"


def affordable(budget: Budget, fps: float | None, mean_bytes: float) -> Affordable:
    """The part that ``budget`` pays for.

    Args:
        budget: of one stream.
        fps: how many frames a second are looked at; a rate means nothing without it.
        mean_bytes: of a picture.

    Raises:
        ConfigError: there is no ``fps`` for a rate, or the budget pays for everything.
    """
    by_bytes = budget.unit == "bytes"
    if budget.per_s is None:
        ratio, of = budget.share, "frames"
    elif fps is None:
        raise ConfigError(
            "--fps", f"{budget} is a rate, and photographs have none: say how many frames a second there are"
        )
    else:
        each = mean_bytes if by_bytes else 1.0
        ratio, of = budget.per_s / (fps * each), f"{fps:g} frames/s" + by_bytes * f" of {each / 1000:.3g} kB"
    if ratio >= 1:
        raise ConfigError(
            "--budget", f"{budget} pays for all {of}: there is nothing to choose, take the miner CloudOnly"
        )
    return Affordable(ratio, by_bytes)
