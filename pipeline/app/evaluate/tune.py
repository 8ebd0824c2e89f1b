"""``tandem tune``: from a budget and an evaluation to the config that spends it best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from rich.console import Console

from pipeline.app.beforehand import check_writable
from pipeline.app.evaluate.afford import Affordable, affordable
from pipeline.app.evaluate.choice import Choice, candidates, chosen
from pipeline.app.evaluate.curves import curves
from pipeline.app.evaluate.prepared import prepared
from pipeline.app.evaluate.replay import Bench, hardness, judged, measuring
from pipeline.app.evaluate.run import Evaluation, looked, miners_of, replaying, views_of
from pipeline.app.evaluate.written import Written, read_written
from pipeline.budget import Budget
from pipeline.config import Config, merged, validated
from pipeline.errors import ConfigError, StorageError
from stages.mining.miner import Miner, View
from stages.mining.registry import make_miner
from stages.whole_files import publish

WRITTEN: Final = "# Written by tandem tune"
"""A config begins so that may be written again."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is asked for.

    Attributes:
        budget: of one stream.
        fps: how many frames a second will be looked at; None for the video's own.
        miners: among which is chosen; all that rank anything if empty.
        evaluated: a report, or what is to be looked at.
        settings: what else is to stand in the config.
        output: where the config goes.
    """

    budget: Budget
    fps: float | None
    miners: Sequence[str]
    evaluated: Path | Evaluation
    settings: Mapping[str, Any]
    output: Path


def tune(config: Config, asked: Tuning, console: Console) -> None:
    """Choose miner and threshold, print what is to be expected, and write the config.

    Raises:
        ConfigError: the call is wrong, the budget cannot be compared, or there is no gap to recover.
    """
    _check(asked, config)
    if isinstance(asked.evaluated, Path):
        _from_report(config, asked, read_written(asked.evaluated), console)
    else:
        _from_pictures(config, asked, asked.evaluated, console)
    console.print(f"wrote {asked.output}: take it with tandem replay or run --config", highlight=False)


def _check(asked: Tuning, config: Config) -> None:
    """See before anything is looked at that the call makes sense."""
    if config.miner.first:
        raise ConfigError(
            "miner.mode", "what is tuned judges by boxes, and with mining-then-inference there are none yet"
        )
    for name in asked.miners:
        if make_miner(name, {}).needs_picture:
            raise ConfigError("--miners", f"{name} looks at pictures, which are not kept for this: name others")
    check_writable(asked.output, option="--output")
    if asked.output.exists() and not asked.output.read_text(errors="replace").startswith(WRITTEN):
        raise ConfigError("--output", f"{asked.output} is there, and tandem tune did not write it: name another file")


def _from_report(config: Config, asked: Tuning, report: Written, console: Console) -> None:
    wanted = affordable(asked.budget, asked.fps, report.bytes / max(1, report.images))
    choice = chosen(config, asked.miners, report.curves(wanted), wanted)
    _write(asked, choice)
    _say(asked.budget, wanted, choice, report.bytes, console)


def _from_pictures(config: Config, asked: Tuning, evaluation: Evaluation, console: Console) -> None:
    edge, cloud, truth = looked(config, evaluation, console)
    views = views_of(edge, config.detector.confidence)
    fps = asked.fps or (_rate(views) if evaluation.pictures.video else None)
    wanted = affordable(asked.budget, fps, float(edge.upload_bytes.mean()))
    table = prepared(
        edge,
        cloud,
        truth,
        watched=evaluation.watched,
        confidences=(config.detector.confidence, config.cloud.confidence),
        resamples=evaluation.resamples,
        seed=config.seed,
    ).bench
    miners = miners_of(config)
    with replaying(console):
        verdicts = measuring({name: miners[name] for name in candidates(asked.miners, miners)}, views)
        scores = {name: np.array([hardness(verdict) for verdict in each]) for name, each in verdicts.items()}
        reached = curves(table, scores, table.joint.gains(), (wanted.ratio,), by_bytes=wanted.by_bytes)
    choice = chosen(config, asked.miners, reached, wanted)
    _write(asked, choice)
    total = int(edge.upload_bytes.sum())
    _say(asked.budget, wanted, choice, total, console)
    miner = make_miner(choice.miner, choice.parameters, config.seed)
    for line in _say_how_it_is_spent(miner, None if asked.fps else asked.budget, table, views):
        console.print(line, highlight=False, soft_wrap=True)


def _rate(views: Sequence[View]) -> float | None:
    span_s = views[-1].media_s - views[0].media_s
    return (len(views) - 1) / span_s if span_s > 0 else None


def _write(asked: Tuning, choice: Choice) -> None:
    base = {name: value for name, value in asked.settings.items() if name not in ("miner", "budget")}
    miner = {"name": choice.miner, **choice.parameters}
    settings = merged(base, {"miner": miner, "budget": asked.budget.setting})
    validated(settings)
    (low, high), gap = choice.figure.interval, choice.figure.gap_recovered
    text = (
        f"{WRITTEN}: {choice.miner} recovers {100 * gap:.0f} % of the gap between edge and cloud\n"
        f"# (95 % interval {100 * low:.0f} to {100 * high:.0f}). Without the budget its own threshold decides.\n"
        + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    )
    try:
        publish({str(asked.output): text.encode()})
    except (OSError, StorageError) as error:
        raise ConfigError("--output", f"{asked.output} cannot be written ({error}): name another file") from error


def _say(budget: Budget, wanted: Affordable, choice: Choice, total_bytes: int, console: Console) -> None:
    figure = choice.figure
    low, high = figure.interval
    bytes_share = figure.upload_bytes / max(1, total_bytes)
    reached = f"{choice.miner} recovers {100 * figure.gap_recovered:.0f} % of the gap in mAP50"
    sent = f"with {100 * figure.share:.1f} % of the pictures and {100 * bytes_share:.1f} % of the bytes"
    lines = [f"{budget} pays for {wanted}", f"{reached} (95 % interval {100 * low:.0f} to {100 * high:.0f}), {sent}"]
    if choice.equals:
        others = ", ".join(f"{name} {100 * each.gap_recovered:.0f}" for name, each in choice.equals)
        lines.append(f"not told apart from it by these pictures: {others}")
    lines += [f"miner.{name}: {value}" for name, value in {"name": choice.miner, **choice.parameters}.items()]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _say_how_it_is_spent(miner: Miner, budget: Budget | None, table: Bench, views: Sequence[View]) -> Iterator[str]:
    """What comes of it picture by picture: within the budget, where it is in their time, and by the threshold alone."""
    ways = {"spent picture by picture, knowing none in advance": budget} if budget else {}
    for words, spent in {**ways, "by its threshold alone": None}.items():
        verdicts = judged({miner.name: miner}, views, spent)[miner.name]
        figure = table.figure(np.array([verdict.hard for verdict in verdicts], np.bool_))
        yield f"{words}: {100 * figure.gap_recovered:.0f} %, with {100 * figure.share:.1f} % of the pictures"
