"""The miner that spends a budget best, and its threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.app.evaluate.afford import Affordable
from pipeline.app.evaluate.curves import Curves
from pipeline.app.evaluate.replay import Figure
from pipeline.config import Config
from pipeline.errors import ConfigError
from stages.mining.registry import MINERS, make_miner


@dataclass(frozen=True, slots=True)
class Choice:
    """The miner that spends the budget best.

    Attributes:
        miner: its name.
        parameters: all that are not at their defaults.
        figure: what it reaches.
        equals: what others reach that cannot be told from it, the best first.
    """

    miner: str
    parameters: Mapping[str, object]
    figure: Figure
    equals: Sequence[tuple[str, Figure]]


def chosen(config: Config, names: Sequence[str], reached: Curves, wanted: Affordable) -> Choice:
    """The miner that recovers most, with its threshold.

    Raises:
        ConfigError: the cloud is not better than the edge, none of ``names`` was measured, or nothing can be sent.
    """
    known = {name: reached.miners[name] for name in candidates(names, reached.miners)}
    best = Curves(known, {}, {}).best(wanted.ratio)
    if best is None:
        why = "the cloud is not better than the edge here: there is no gap to recover" if known else "none was measured"
        raise ConfigError("--miners" if not known else "IMAGES", why)
    figure = known[best][wanted.ratio]
    if not figure.share:
        raise ConfigError(
            "--budget", f"it pays for {wanted}, which is not one of these: take a larger one, or more of them"
        )
    own = dict(config.miner.parameters) if best == config.miner.name else {}
    miner = make_miner(best, own, config.seed)
    at = None if figure.threshold is None or not math.isfinite(figure.threshold) else miner.at(_down(figure.threshold))
    ranked = sorted(known.items(), key=lambda each: -each[1][wanted.ratio].gap_recovered)
    equals = [
        (name, each[wanted.ratio])
        for name, each in ranked
        if name != best and each[wanted.ratio].gap_recovered >= figure.interval[0]
    ]
    return Choice(best, {**own, **(at or {})}, figure, equals)


def candidates(names: Sequence[str], measured: Mapping[str, object]) -> list[str]:
    """Those of ``names`` that were measured; without names all but chance, and Sedna's example, which is IBT."""
    if names:
        return [name for name in dict.fromkeys(names) if name in measured]
    return [name for name in measured if name in MINERS and name != "Random"]


def _down(threshold: float) -> float:
    """Rounded so that what reached the threshold still does."""
    return math.floor(threshold * 1e4) / 1e4
