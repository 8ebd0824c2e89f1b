"""``tandem mine fit``: from pictures to an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.app.beforehand import check_writable
from pipeline.app.evaluate.replay import Figure, bench, hardness
from pipeline.app.fitting.folds import RATIOS, estimated_without, figures, quantiles
from pipeline.app.fitting.learner import Floats, fitted
from pipeline.app.fitting.sample import Fitting, Sample, sample_of
from pipeline.app.little import little_of
from pipeline.config import Config
from pipeline.errors import ConfigError, StorageError
from stages.mining.features import VERSION
from stages.mining.fitted import METADATA, Fitted
from stages.mining.registry import make_miner
from stages.models import model_path
from stages.whole_files import publish

RESAMPLES: Final = 200
"""Of the intervals."""

BESIDE: Final = "LeastConfidence"
"""The miner that needs no fitting, which is measured beside."""

_LEAST_PICTURES: Final = 20


def fit(config: Config, asked: Fitting, console: Console) -> None:
    """Look, cross-validate, print, fit on all pictures, and write the file.

    Raises:
        ConfigError: the call, the labels or a model is wrong, or the file cannot be written.
    """
    _check_out(asked.out, config)
    sample = sample_of(config, asked, console)
    if sample.pictures < max(_LEAST_PICTURES, asked.folds):
        raise ConfigError("IMAGES", f"{sample.pictures} pictures are too few to fit on: take some hundreds")
    with console.status("fitting"):
        estimates = estimated_without(sample, asked.folds, config.seed)
        regressor = fitted(sample.rows, sample.gains, sample.copies)
    _show(config, asked, sample, estimates, console)
    content = regressor.onnx({METADATA: _described(config, asked, sample, estimates).model_dump_json()})
    try:
        publish({str(asked.out): content})
    except StorageError as error:
        raise ConfigError("--out", str(error)) from error
    console.print(f"wrote {asked.out} ({len(content) / 2**20:.2f} MiB)", highlight=False)


def _check_out(out: Path, config: Config) -> None:
    if out.suffix != ".onnx":
        raise ConfigError("--out", f"{out} does not end in .onnx; call it e.g. {out.with_suffix('.onnx').name}")
    check_writable(out, (model_path(model.model) for model in (config.detector, config.cloud)), option="--out")


def _described(config: Config, asked: Fitting, sample: Sample, estimates: Floats) -> Fitted:
    return Fitted(
        features=VERSION,
        classes=sample.classes,
        little=little_of(config.detector),
        quantiles=quantiles(estimates),
        pictures=sample.pictures,
        pictures_sha256=asked.pictures.digest,
        changes=asked.changes,
        labels="human" if asked.labels else model_path(config.cloud.model).name,
        seed=config.seed,
    )


def _show(config: Config, asked: Fitting, sample: Sample, estimates: Floats, console: Console) -> None:
    confidences = config.detector.confidence, config.cloud.confidence
    table = bench(sample.joint, sample.upload_bytes, 0, confidences, resamples=RESAMPLES, seed=config.seed)
    edge, cloud = table.ends
    whose = "people's labels" if asked.labels else "the big model's boxes, which stand in for labels"
    console.print(
        f"{sample.pictures} pictures, {asked.changes} changed copies of each, by {whose}; "
        f"mAP50: edge {edge:.3f}, cloud {cloud:.3f}",
        highlight=False,
    )
    if not cloud > edge:
        raise ConfigError(
            "--big", "it is not better than the little model on these pictures: there is nothing to learn"
        )
    plain = make_miner(BESIDE, {})
    beside = np.array([hardness(plain.judge(view)) for view in sample.views])
    printed = Table(f"gap recovered, in %, {asked.folds} folds", *(f"{ratio:.0%}" for ratio in RATIOS))
    for name, scores in (("Learned", estimates), (BESIDE, beside)):
        printed.add_row(name, *_cells(figures(table, scores)))
    console.print(printed)


def _cells(found: Mapping[float, Figure]) -> list[str]:
    return [
        f"{100 * each.gap_recovered:.0f} ({100 * each.interval[0]:.0f} to {100 * each.interval[1]:.0f})"
        for each in found.values()
    ]
