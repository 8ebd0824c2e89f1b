"""A set on which miners are to be measured, made ready from what both models saw and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.app.evaluate.answers import Answers, answers
from pipeline.app.evaluate.boxes import Boxes, boxes_of, class_names
from pipeline.app.evaluate.joint import joint_of
from pipeline.app.evaluate.metric import Scored, scored
from pipeline.app.evaluate.replay import Bench, bench
from pipeline.app.evaluate.seen import Seen
from pipeline.errors import ConfigError

HELMET_OFF: Final = "helmet_off"
"""The class whose recall people want to know most, where there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The set.

    Attributes:
        bench: on which miners are measured.
        classes: that the models know.
        watched: the class whose recall is told.
        truth: the objects.
        boxes: what edge and cloud see, down to their floors.
        scored: how that stands to the objects.
    """

    bench: Bench
    classes: Sequence[str]
    watched: str
    truth: Boxes
    boxes: tuple[Boxes, Boxes]
    scored: tuple[Scored, Scored]

    def answers(self, confidences: tuple[float, float]) -> tuple[Answers, Answers]:
        """What edge and cloud report, from these scores on."""
        edge, cloud = (
            answers(self.truth, seen, found.objects, confidence, self.bench.joint.pictures)
            for seen, found, confidence in zip(self.boxes, self.scored, confidences, strict=True)
        )
        return edge, cloud


def prepared(
    edge: Seen,
    cloud: Seen,
    truth: Boxes,
    *,
    watched: str | None,
    confidences: tuple[float, float],
    resamples: int,
    seed: int,
) -> Prepared:
    """Match what was seen to the objects, once.

    Args:
        edge: what the little model saw.
        cloud: what the big one saw.
        truth: the objects.
        watched: the class whose recall is told; None for helmet_off, or the first class that is labelled.
        confidences: the scores from which on edge and cloud report a box.
        resamples: of the bootstrap.
        seed: of it, and of what is drawn.

    Raises:
        ConfigError: there is no such class to be watched.
    """
    pictures, classes = len(edge.seqs), class_names(edge.detections, cloud.detections)
    of_edge, of_cloud = (boxes_of(each.detections, classes) for each in (edge, cloud))
    by_edge, by_cloud = (scored(truth, each, pictures, len(classes)) for each in (of_edge, of_cloud))
    joint = joint_of(truth, (of_edge, by_edge.right), (of_cloud, by_cloud.right), pictures, len(classes))
    name = _watched(watched, truth, classes)
    table = bench(joint, edge.upload_bytes, classes.index(name), confidences, resamples=resamples, seed=seed)
    return Prepared(table, classes, name, truth, (of_edge, of_cloud), (by_edge, by_cloud))


def _watched(wanted: str | None, truth: Boxes, classes: Sequence[str]) -> str:
    if wanted is not None and wanted not in classes:
        raise ConfigError("--class", f"there is no class {wanted!r}; the models know {', '.join(classes)}")
    if wanted is not None or HELMET_OFF in classes:
        return wanted or HELMET_OFF
    return classes[int(truth.labels.min(initial=len(classes) - 1))]
