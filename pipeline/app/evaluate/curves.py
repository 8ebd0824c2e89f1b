"""What miners reach by the part that is sent, and both bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.app.evaluate.replay import Bench, Figure, Scores


@dataclass(frozen=True, slots=True)
class Curves:
    """What miners reach, and what nobody can be expected to undercut or surpass, by the part that is sent."""

    miners: Mapping[str, Mapping[float, Figure]]
    random: Mapping[float, Figure]
    oracle: Mapping[float, Figure]

    def best(self, ratio: float) -> str | None:
        """The miner that recovers most; None where the cloud is not better than the edge."""
        known = {
            name: figures[ratio].gap_recovered
            for name, figures in self.miners.items()
            if not math.isnan(figures[ratio].gap_recovered)
        }
        return max(known, key=known.__getitem__) if known else None


def curves(
    bench: Bench, scores: Mapping[str, Scores], gains: Scores, ratios: Sequence[float], *, by_bytes: bool = False
) -> Curves:
    """Replay all miners and both bounds at these ratios, from how hard each finds each picture, and what each gains."""
    return Curves(
        {
            name: {ratio: bench.hardest(each, ratio, by_bytes=by_bytes) for ratio in ratios}
            for name, each in scores.items()
        },
        {ratio: bench.by_chance(ratio, by_bytes=by_bytes) for ratio in ratios},
        {ratio: bench.hardest(gains, ratio, by_bytes=by_bytes) for ratio in ratios},
    )
