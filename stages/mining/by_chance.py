"""Random: a given part of the frames, whatever is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar, Final

from pydantic import Field

from pipeline.model import Verdict
from stages.mining.miner import Miner, Share, View

_DRAW_BITS: Final = 53  # as many as a float holds, so that each draw lies below 1


class Random(Miner):
    """Hard with a probability of ``random_ratio``, drawn from a hash of seed, stream and ``seq``.

    The same frame gets the same verdict in every run and in whatever order frames come.
    """

    name: ClassVar[str] = "Random"
    by_picture: ClassVar[bool] = True

    random_ratio: Share = Field(0.3, description="the part of the frames that is hard")
    seed: int = Field(0, description="another seed chooses other frames")

    def at(self, score: float) -> Mapping[str, float | int]:
        """The part of the draws that reach it."""
        return {"random_ratio": round(1 - score, 9)}

    def judge(self, view: View) -> Verdict:
        """Score: 1 - draw; threshold: 1 - ``random_ratio``."""
        draw = uniform(self.seed, view.stream, view.seq)
        hard = draw < self.random_ratio
        return self.verdict(
            hard=hard,
            score=1 - draw,
            threshold=1 - self.random_ratio,
            found=f"the draw {draw:.2f}",
            against=f" is {'below' if hard else 'at or above'} {self.random_ratio:g}",
        )


def uniform(seed: int, stream: str, seq: int, purpose: bytes = b"") -> float:
    """A number in [0, 1) that depends on these alone (BLAKE2b, RFC 7693); ``purpose`` takes up to 16 bytes.

    What is drawn for two purposes is independent.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{seq}".encode(), digest_size=8, person=purpose).digest()
    return float(int.from_bytes(digest) >> (64 - _DRAW_BITS)) / float(1 << _DRAW_BITS)
