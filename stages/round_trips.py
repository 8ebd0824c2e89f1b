"""How long an answer may take before it counts as lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MOST_BACKOFF: Final = 16


@dataclass(slots=True)
class RoundTrips:
    """The retransmission timeout of TCP, for offers of hard frames.

    Smoothed mean and deviation by Jacobson and Karels (RFC 6298, sections 2 and 5). By Karn's rule the caller measures
    no round trip of a frame that was sent more than once. Each re-send doubles that frame's own timeout; the longest of
    these holds for new frames too, until one is measured again: else, when workers become slower than the timeout,
    every frame would be sent twice for ever.

    Attributes:
        first_s: the timeout before anything was measured.
        least_s: the shortest timeout.
        most_s: the longest one.
        backoff: how often the timeout of new frames is doubled.
    """

    first_s: float = 10.0
    least_s: float = 2.0
    most_s: float = 60.0
    mean_s: float | None = None
    deviation_s: float = 0.0
    backoff: int = 0

    def measured(self, trip_s: float) -> None:
        """Take the round trip of a frame that was sent once."""
        self.backoff = 0
        if self.mean_s is None:
            self.mean_s, self.deviation_s = trip_s, trip_s / 2
            return
        self.deviation_s = 0.75 * self.deviation_s + 0.25 * abs(self.mean_s - trip_s)
        self.mean_s = 0.875 * self.mean_s + 0.125 * trip_s

    def lost(self, attempt: int) -> None:
        """No answer came in time to a frame's offer number ``attempt``."""
        self.backoff = max(self.backoff, min(attempt, _MOST_BACKOFF))

    def timeout_s(self, attempt: int) -> float:
        """How long to wait for the answer to a frame's offer number ``attempt``, counted from 1."""
        once = self.first_s if self.mean_s is None else max(self.least_s, self.mean_s + 4 * self.deviation_s)
        return float(min(self.most_s, once * 2 ** max(self.backoff, min(attempt - 1, _MOST_BACKOFF))))
