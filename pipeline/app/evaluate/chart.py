"""The curves of an evaluation as a drawing: what share of the gap each miner recovers, by the share that is sent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.app.evaluate.curves import Curves
from pipeline.app.evaluate.findings import TOLD_RATIO
from pipeline.app.evaluate.replay import Figure

WIDTH: Final = 760
HEIGHT: Final = 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 16, 44

_COLOURS: Final = (
    *("#4363d8", "#e6194b", "#3cb44b", "#f58231", "#911eb4", "#008080", "#9a6324"),
    *("#808000", "#e377c2", "#17becf", "#800000", "#000075", "#bcbd22", "#7f7f7f"),
)


@dataclass(frozen=True, slots=True)
class Point:
    """A figure in the drawing.

    Attributes:
        x: in pixels from the left.
        y: in pixels from the top.
        ratio: the share that is sent.
        figure: what it reaches.
    """

    x: float
    y: float
    ratio: float
    figure: Figure


@dataclass(frozen=True, slots=True)
class Line:
    """A curve.

    Attributes:
        name: whose it is.
        colour: as CSS has it.
        bound: whether it is a bound rather than a miner.
        points: from left to right.
    """

    name: str
    colour: str
    bound: bool
    points: tuple[Point, ...]

    @property
    def path(self) -> str:
        """Its points as SVG has them."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


@dataclass(frozen=True, slots=True)
class Chart:
    """The drawing: curves, and where the axes have their marks."""

    lines: tuple[Line, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def chart(curves: Curves) -> Chart:
    """The curves of all miners, the best at ``TOLD_RATIO`` first, and of the bounds.

    Where there is no gap to recover there are no curves.
    """
    known = [
        figure.gap_recovered
        for figures in (*curves.miners.values(), curves.random, curves.oracle)
        for figure in figures.values()
        if not math.isnan(figure.gap_recovered)
    ]
    low, high = min(0.0, *known, 0.0), max(1.0, *known, 1.0)
    best_first = sorted(curves.miners.items(), key=lambda each: -each[1][TOLD_RATIO].gap_recovered)
    named = [*best_first, ("Oracle", curves.oracle), ("Random, expected", curves.random)] if known else []
    lines = tuple(_lines(named, len(best_first), low, high))
    ratios = list(curves.random)
    tenths = range(math.ceil(low * 5), math.floor(high * 5) + 1)
    return Chart(
        lines,
        tuple((_x(ratio), f"{ratio:.0%}") for ratio in ratios),
        tuple((_y(tenth / 5, low, high), f"{tenth * 20} %") for tenth in tenths),
    )


def _lines(named: list[tuple[str, Mapping[float, Figure]]], miners: int, low: float, high: float) -> Iterator[Line]:
    for i, (name, figures) in enumerate(named):
        points = tuple(
            Point(_x(ratio), _y(figure.gap_recovered, low, high), ratio, figure) for ratio, figure in figures.items()
        )
        bound = i >= miners
        yield Line(name, "#222222" if bound else _COLOURS[i % len(_COLOURS)], bound, points)


def _x(ratio: float) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * ratio / 0.52


def _y(gap: float, low: float, high: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (gap - low) / (high - low)
