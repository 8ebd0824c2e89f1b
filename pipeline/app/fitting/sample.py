"""What a regressor is fitted on: features and gains of pictures, as they are and changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from pipeline.app.evaluate.boxes import Boxes, boxes_of, class_names, in_a_row
from pipeline.app.evaluate.joint import Joint, joint_of
from pipeline.app.evaluate.metric import scored
from pipeline.app.evaluate.pictures import PictureSet
from pipeline.app.evaluate.run import both, truth_of, views_of
from pipeline.app.evaluate.seen import Seen
from pipeline.app.fitting.worth import gains
from pipeline.config import Config
from pipeline.errors import ConfigError
from stages.mining.features import features
from stages.mining.miner import View


@dataclass(frozen=True, slots=True)
class Fitting:
    """What is asked for.

    Attributes:
        pictures: what is fitted on.
        labels: where the labels are; None lets the big model teach.
        changes: so many changed copies of each picture are fitted on too.
        folds: of the cross-validation.
        cache: where detections are kept.
        out: the file that is written.
    """

    pictures: PictureSet
    labels: Path | None
    changes: int
    folds: int
    cache: Path
    out: Path


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """N looks at n pictures: first each as it is, then changed ones.

    Attributes:
        seqs: (N,) which picture it is.
        rows: (N, F) features.
        gains: (N,) what the big model adds, see ``worth``.
        views: n, what miners see of the pictures as they are.
        joint: of those.
        upload_bytes: (n,) theirs.
        classes: of the little model.
    """

    seqs: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]
    gains: npt.NDArray[np.float64]
    views: list[View]
    joint: Joint
    upload_bytes: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def pictures(self) -> int:
        """How many there are, n."""
        return len(self.views)

    @property
    def copies(self) -> int:
        """So often each picture is there."""
        return round(len(self.seqs) / max(1, self.pictures))


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """Both models' boxes in a set of pictures, and which are right."""

    edge: Seen
    truth: Boxes
    boxes: tuple[Boxes, Boxes]
    right: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]


def sample_of(config: Config, asked: Fitting, console: Console) -> Sample:
    """Look at the pictures with both models, as they are and changed.

    Raises:
        ConfigError: a model, the pictures or the labels cannot be used.
    """
    sets = [asked.pictures, *(replace(asked.pictures, change=(config.seed, i)) for i in range(1, asked.changes + 1))]
    seen = [both(config, each, asked.cache, console) for each in sets]
    classes = class_names(*(model.detections for models in seen for model in models))
    little = class_names(*(edge.detections for edge, _ in seen))
    if not little:
        raise ConfigError("IMAGES", "the little model sees nothing in these pictures, so there is nothing to fit on")
    looks = [
        _look(edge, cloud, truth_of(each, asked.labels, cloud, classes, config.cloud.confidence).boxes, classes)
        for each, (edge, cloud) in zip(sets, seen, strict=True)
    ]
    views = [view for look in looks for view in views_of(look.edge, config.detector.confidence)]
    n = len(looks[0].edge.seqs)
    return Sample(
        np.concatenate([look.edge.seqs for look in looks]),
        np.array([features(view, little) for view in views]),
        gains(_joint(looks, len(classes))),
        views[:n],
        _joint(looks[:1], len(classes)),
        looks[0].edge.upload_bytes,
        little,
    )


def _look(edge: Seen, cloud: Seen, truth: Boxes, classes: tuple[str, ...]) -> _Look:
    pictures = len(edge.seqs)
    of_edge, of_cloud = (boxes_of(seen.detections, classes) for seen in (edge, cloud))
    right = (scored(truth, boxes, pictures, len(classes)).right for boxes in (of_edge, of_cloud))
    return _Look(edge, truth, (of_edge, of_cloud), (next(right), next(right)))


def _joint(looks: list[_Look], classes: int) -> Joint:
    """All pictures of all looks, as if they were different ones."""
    sizes = [len(look.edge.seqs) for look in looks]
    truth = in_a_row([look.truth for look in looks], sizes)
    edge, cloud = (
        (in_a_row([look.boxes[i] for look in looks], sizes), np.concatenate([look.right[i] for look in looks]))
        for i in (0, 1)
    )
    return joint_of(truth, edge, cloud, sum(sizes), classes)
