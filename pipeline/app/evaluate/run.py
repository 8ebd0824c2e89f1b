"""``tandem evaluate``: from pictures and labels to figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console

from pipeline.app.beforehand import check_writable
from pipeline.app.evaluate.boxes import Boxes, boxes_of, class_names
from pipeline.app.evaluate.change import changed
from pipeline.app.evaluate.findings import BYTES_RATIO, Ends, Findings, found
from pipeline.app.evaluate.labels import Truth, check_labels, read_labels, shots
from pipeline.app.evaluate.page import page
from pipeline.app.evaluate.pictures import PictureSet
from pipeline.app.evaluate.prepared import prepared
from pipeline.app.evaluate.replay import judged, measuring
from pipeline.app.evaluate.seen import Seen, in_both, look
from pipeline.app.evaluate.show import show
from pipeline.app.evaluate.shown import pairs
from pipeline.app.evaluate.telling import Witness
from pipeline.app.little import check_little
from pipeline.budget import Budget
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.stage import StageName
from stages.mining.learned import Learned
from stages.mining.miner import Miner, View
from stages.mining.registry import MINERS, make_miner

SEDNA_EXAMPLE: Final = "IBT 0.9/0.9"
"""IBT with the parameters of Sedna's helmet example."""

_STREAM: Final = "evaluate"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is asked for.

    Attributes:
        pictures: what is looked at.
        labels: where the labels are; None lets the big model's boxes stand in.
        watched: the class whose recall is told; None for helmet_off, or the first class that is labelled.
        resamples: of the bootstrap.
        cache: where detections are kept.
        report: where the report goes.
        html: where the page goes.
    """

    pictures: PictureSet
    labels: Path | None
    watched: str | None
    resamples: int
    cache: Path
    report: Path | None
    html: Path | None = None


def evaluate(config: Config, asked: Evaluation, console: Console) -> None:
    """Look, replay all miners, print, and write the report.

    Raises:
        ConfigError: the call, the labels or a model is wrong.
    """
    miners = miners_of(config)
    for path, option in ((asked.report, "--report"), (asked.html, "--html")):
        if path:
            check_writable(path, option=option)
    edge, cloud, truth = looked(config, asked, console)
    with replaying(console):
        findings = measured(config, asked, edge=edge, cloud=cloud, truth=truth, miners=miners)
    show(findings, console)
    if asked.report:
        asked.report.write_text(json.dumps(findings.json(), indent=2) + "\n")
    if asked.html:
        told = {each.picture for each in (*findings.misses, *findings.better)}
        confidences = config.detector.confidence, config.cloud.confidence
        shown = pairs(asked.pictures, told, edge, cloud, confidences)
        asked.html.write_text(page(findings, asked.pictures.address.name, shown), encoding="utf-8")


def replaying(console: Console) -> AbstractContextManager[object]:
    """Says that the miners are replayed, which takes its time."""
    words = "replaying the miners"
    if not console.is_terminal:
        console.print(words, highlight=False)
    return console.status(words)


def looked(config: Config, asked: Evaluation, console: Console) -> tuple[Seen, Seen, Boxes]:
    """What both models see, and the objects; what is assumed is printed.

    Raises:
        ConfigError: a model, the pictures or the labels cannot be used.
    """
    if asked.labels:
        check_labels(asked.labels, asked.pictures.names())
    edge, cloud = both(config, asked.pictures, asked.cache, console)
    classes = class_names(edge.detections, cloud.detections)
    truth = truth_of(asked.pictures, asked.labels, cloud, classes, config.cloud.confidence)
    _say_what_is_assumed(truth, console)
    return edge, cloud, truth.boxes


def both(config: Config, pictures: PictureSet, cache: Path, console: Console) -> tuple[Seen, Seen]:
    """What the little and the big model see.

    Raises:
        ConfigError: a model or the pictures cannot be used.
    """
    edge = look(StageName.DETECTOR, config.detector, pictures, cache, console)
    cloud = look(StageName.CLOUD, config.cloud, pictures, cache, console)
    return in_both(edge, cloud)


def miners_of(config: Config) -> dict[str, Miner]:
    """All miners that need no pictures at their defaults, but for the config's own, and Sedna's example.

    The shipped Learned is left out where the little model is not the one that it was fitted to.

    Raises:
        ConfigError: the config's miner is wrong, or needs the pictures.
    """
    own = make_miner(config.miner.name, config.miner.parameters, config.seed)
    if own.needs_picture:
        raise ConfigError(
            "miner.name", f"{own.name} looks at pictures, which are not kept for this: name another miner"
        )
    if isinstance(own, Learned):
        check_little(own, config.detector)
    able = (kind for kind in MINERS.values() if not kind.needs_picture and kind is not Learned)
    return {
        **{kind.name: make_miner(kind.name, {}, config.seed) for kind in able},
        **_learned(config),
        own.name: own,
        SEDNA_EXAMPLE: make_miner("IBT", {"threshold_box": 0.9, "threshold_img": 0.9}),
    }


def _learned(config: Config) -> dict[str, Miner]:
    """The shipped Learned where it belongs to the little model."""
    shipped = Learned()
    try:
        check_little(shipped, config.detector)
    except ConfigError:
        return {}
    return {shipped.name: shipped}


def truth_of(
    pictures: PictureSet, labels: Path | None, cloud: Seen, classes: Sequence[str], confidence: float
) -> Truth:
    """What is really in the pictures that the cloud saw: by the labels, or by its own boxes of ``confidence`` and more.

    Raises:
        ConfigError: the labels cannot be used, or no model sees anything.
    """
    if not classes:
        raise ConfigError("IMAGES", "neither model sees anything in these pictures, so there is nothing to compare")
    if labels is None:
        return Truth(boxes_of([found.at_least(confidence) for found in cloud.detections], classes))
    sizes = [(int(width), int(height)) for width, height in cloud.sizes]
    shown = shots(pictures.names(), cloud.seqs.tolist(), sizes)
    truth = read_labels(labels, shown, classes, video=pictures.video)
    if pictures.change is None:
        return truth
    changes = [pictures.change_of(seq, *size) for seq, size in zip(cloud.seqs.tolist(), sizes, strict=True)]
    return replace(truth, boxes=changed(truth.boxes, changes, sizes))


def views_of(seen: Seen, confidence: float) -> list[View]:
    """What a miner gets to see of each picture, but for the picture itself."""
    columns = seen.seqs, seen.media_s, seen.sizes[:, 0], seen.sizes[:, 1], seen.upload_bytes
    rows = zip(*(column.tolist() for column in columns), seen.detections, strict=True)
    return [
        View(_STREAM, seq, media_s, width, height, found, found.at_least(confidence), confidence, jpeg_bytes=jpeg_bytes)
        for seq, media_s, width, height, jpeg_bytes, found in rows
    ]


def measured(
    config: Config, asked: Evaluation, *, edge: Seen, cloud: Seen, truth: Boxes, miners: Mapping[str, Miner]
) -> Findings:
    """All figures, from what both models saw.

    Raises:
        ConfigError: there is no such class to be watched.
    """
    confidences = config.detector.confidence, config.cloud.confidence
    ready = prepared(
        edge,
        cloud,
        truth,
        watched=asked.watched,
        confidences=confidences,
        resamples=asked.resamples,
        seed=config.seed,
    )
    views = views_of(edge, config.detector.confidence)
    verdicts = measuring(miners, views)
    budget = Budget.parse(f"{BYTES_RATIO:.0%} of the bytes")
    names = called(asked.pictures, edge.seqs.tolist())
    return found(
        ready.bench,
        verdicts,
        (budget, judged({name: miners[name] for name in verdicts}, views, budget)),
        Witness(names, ready.classes, truth, *ready.answers(confidences)),
        map50_95=Ends(*(each.map50_95 for each in ready.scored)),
        watched=ready.watched,
        human=asked.labels is not None,
        own=config.miner.name,
    )


def called(pictures: PictureSet, seqs: Sequence[int]) -> list[str]:
    """What people call the pictures: by their files, or by the numbers of their frames."""
    names = pictures.names()
    return [names[seq - 1] if names else f"frame {seq}" for seq in seqs]


def _say_what_is_assumed(truth: Truth, console: Console) -> None:
    if truth.crowds:
        left_out = "left out, and what is seen of them counts as wrong"
        console.print(f"{truth.crowds} boxes hold a crowd (iscrowd): {left_out}", highlight=False)
    if truth.unlabelled:
        console.print(f"{truth.unlabelled} pictures have no labels: they are taken to show no object", highlight=False)
    for name, count in truth.ignored.items():
        console.print(f"{count} objects are of the class {name}, which neither model knows: left out", highlight=False)
