"""Single pictures that tell something: misses of a miner, and those on which the little model is the better one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipeline.app.evaluate.answers import Answers, Wrong
from pipeline.app.evaluate.boxes import Boxes
from pipeline.app.evaluate.edge_better import EdgeBetter
from pipeline.app.evaluate.replay import Scores, ranked

SHOWN: Final = 8
"""So many pictures of each sort are told."""


@dataclass(frozen=True, slots=True)
class Telling:
    """A picture.

    Attributes:
        picture: its index.
        name: its file, or the number of its frame.
        gain: by how much mAP50 changes if it alone is sent.
        why: a sentence or two.
    """

    picture: int
    name: str
    gain: float
    why: str

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {"picture": self.name, "gain_in_map50": round(self.gain, 6), "why": self.why}


@dataclass(frozen=True, slots=True, eq=False)
class Witness:
    """What is known of each picture of a set.

    Attributes:
        names: of the pictures.
        classes: names of the classes.
        truth: the objects.
        edge: what the little model reports.
        cloud: what the big one reports.
    """

    names: Sequence[str]
    classes: Sequence[str]
    truth: Boxes
    edge: Answers
    cloud: Answers

    def misses(self, gains: Scores, scores: Scores, miner: str, ratio: float, seed: int) -> list[Telling]:
        """The pictures that gain most of those that a miner does not send, where it sends the hardest ``ratio``."""
        order = ranked(scores, seed)
        sent = round(ratio * len(order))
        kept = [(rank, picture) for rank, picture in enumerate(order.tolist(), 1) if rank > sent and gains[picture] > 0]
        worst = sorted(kept, key=lambda each: -gains[each[1]])[:SHOWN]
        return [
            self._telling(
                picture,
                float(gains[picture]),
                f"{self._lacks(picture, 'little', self.edge, 'big', self.cloud)}. {miner} gives it "
                f"{scores[picture]:.3g} and rank {rank} of {len(order)}: the first {sent} are sent.",
            )
            for rank, picture in worst
        ]

    def better(self, found: EdgeBetter) -> list[Telling]:
        """The pictures that lose most by being sent."""
        return [
            self._telling(picture, change, f"{self._lacks(picture, 'big', self.cloud, 'little', self.edge)}.")
            for picture, change in zip(found.order[:SHOWN].tolist(), found.change[:SHOWN].tolist(), strict=True)
        ]

    def _telling(self, picture: int, gain: float, why: str) -> Telling:
        return Telling(picture, self.names[picture], gain, why)

    def _lacks(self, picture: int, worse: str, its: Answers, better: str, others: Answers) -> str:
        """What one model gets wrong in a picture, in words."""
        missed = others.found & ~its.found & (self.truth.pictures == picture)
        objects = _counted(Counter(self.classes[label] for label in self.truth.labels[missed].tolist()))
        wrong, less = (int(each.wrong[picture].sum()) for each in (its, others))
        kinds = _counted(Counter({str(kind): n for kind, n in _wrong_in(its, picture).items() if n}))
        parts = [
            f"misses {objects} that the {better} one finds" if objects else "",
            f"has {wrong} wrong {'box' if wrong == 1 else 'boxes'} ({kinds}) to the other's {less}"
            if wrong > less
            else "",
        ]
        told = " and ".join(filter(None, parts))
        sure = int(its.unlabelled[picture])
        doubt = f"; it is sure of {sure} where nothing is labelled, so look at the labels" if sure else ""
        return f"The {worse} model {told or 'reports no less, but its scores tell right from wrong less well'}{doubt}"


def _wrong_in(its: Answers, picture: int) -> dict[Wrong, int]:
    one = np.zeros(len(its.wrong), np.bool_)
    one[picture] = True
    return its.wrong_in(one)


def _counted(names: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in names.most_common())
