"""Which frames teach and which validate: whole stretches of a stream's time, so that neighbours are not split up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import floor
from typing import Final

import numpy as np

from stages.mining.by_chance import uniform

STRETCH_S: Final = 60.0
"""How long a stretch is, seconds, where nobody says otherwise and there are ten of them."""

_LEAST_STRETCHES: Final = 10
_APART: Final = 0.05  # of a stretch: frames on both sides of a border are nearer to each other than two of one part
_PURPOSE: Final = b"split"


class Split(StrEnum):
    """The parts of a training set."""

    TRAIN = "train"
    VAL = "val"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was.

    Attributes:
        source: what it is of. Two runs over one source get the same split.
        at_s: its place in time, seconds.
    """

    source: str
    at_s: float


def split(
    moments: Sequence[Moment], share: float, stretch_s: float | None = None, spans_s: Mapping[str, float] | None = None
) -> list[Split | None]:
    """Say for each frame where it belongs. The same frames get the same answer in every run.

    Time is cut into stretches of ``stretch_s``. As in systematic sampling with a random start, of each source one
    stretch in ``1 / share`` validates, so a stream that goes on keeps the split that it had. What would teach and is
    nearer than a twentieth of a stretch to a frame that validates is left out.

    Args:
        moments: of the frames, in any order.
        share: of the stretches that validate, 0 to 1. At 0 none does, else one at least, and one at least teaches
            where there are two.
        stretch_s: their length, seconds. Unset: ``STRETCH_S``, or a tenth of a source's time if that is less.
        spans_s: how long sources are, seconds, where that is known: these frames may be a burst of a long one. Of
            others, from their first frame here to the last.

    Returns:
        Where each belongs, in their order; None for those that are left out.
    """
    if share <= 0:
        return [Split.TRAIN] * len(moments)
    lengths_s = _lengths_s(moments, stretch_s, spans_s or {})
    stretches = [(moment.source, floor(moment.at_s / lengths_s[moment.source])) for moment in moments]
    validate = _validating(set(stretches), share)
    times_s: defaultdict[str, list[float]] = defaultdict(list)
    for moment, stretch in zip(moments, stretches, strict=True):
        if stretch in validate:
            times_s[moment.source].append(moment.at_s)
    near = {source: np.sort(np.array(at_s, np.float64)) for source, at_s in times_s.items()}
    found: list[Split | None] = []
    for moment, stretch in zip(moments, stretches, strict=True):
        if stretch in validate:
            found.append(Split.VAL)
        else:
            apart_s = _distance_s(near.get(moment.source, np.zeros(0)), moment.at_s)
            found.append(Split.TRAIN if apart_s >= _APART * lengths_s[moment.source] else None)
    return found


def _lengths_s(moments: Sequence[Moment], stretch_s: float | None, known_s: Mapping[str, float]) -> dict[str, float]:
    times_s: defaultdict[str, list[float]] = defaultdict(list)
    for moment in moments:
        times_s[moment.source].append(moment.at_s)
    spans_s = {source: max(known_s.get(source, 0.0), max(at_s) - min(at_s)) for source, at_s in times_s.items()}
    return {source: stretch_s or min(STRETCH_S, s / _LEAST_STRETCHES or STRETCH_S) for source, s in spans_s.items()}


def _validating(stretches: set[tuple[str, int]], share: float) -> set[tuple[str, int]]:
    starts = {source: uniform(0, source, 0, _PURPOSE) for source, _ in stretches}
    chosen = {
        (source, number)
        for source, number in stretches
        if floor((number + 1) * share + starts[source]) > floor(number * share + starts[source])
    }
    by_chance = sorted(stretches, key=lambda stretch: (uniform(0, stretch[0], stretch[1], _PURPOSE), stretch))
    if not chosen:
        return set(by_chance[:1])
    return chosen - set(by_chance[:1]) if chosen == stretches and len(stretches) > 1 else chosen


def _distance_s(sorted_s: np.ndarray[tuple[int, ...], np.dtype[np.float64]], at_s: float) -> float:
    """From ``at_s`` to the nearest of these, seconds; ``inf`` where there are none."""
    after = int(np.searchsorted(sorted_s, at_s))
    return float(np.abs(sorted_s[max(0, after - 1) : after + 1] - at_s).min(initial=np.inf))
