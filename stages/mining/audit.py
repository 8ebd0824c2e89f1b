"""The audit: a random share of the easy frames is sent as well, to learn what easy frames hide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pipeline.model import Verdict
from stages.mining.by_chance import uniform
from stages.mining.miner import View

_PURPOSE: Final = b"audit"  # else Random, whose easy frames have a high draw, would never be audited


@dataclass(frozen=True, slots=True)
class Audit:
    """Draws easy frames by a hash of seed, stream and ``seq``: the same ones in every run, whatever is in them.

    Attributes:
        share: of the easy frames, 0 to 1. None at 0.
        seed: another one draws other frames.
    """

    share: float
    seed: int = 0

    def of(self, verdict: Verdict, view: View) -> Verdict:
        """The verdict, marked where its frame is easy and drawn."""
        if verdict.hard or uniform(self.seed, view.stream, view.seq, _PURPOSE) >= self.share:
            return verdict
        reason = f"{verdict.reason}; sent all the same, for the audit of {self.share:.3g} of the easy frames"
        return replace(verdict, audited=True, reason=reason)


NO_AUDIT: Final = Audit(0.0)
