"""The commands ``tandem evaluate``, ``tandem tune`` and ``tandem mine``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import log
from pipeline.cli_options import (
    BigModel,
    Command,
    ConfigFile,
    LittleModel,
    ReportFile,
    Settings,
    config_from,
    console,
    overrides_of,
)
from pipeline.config import merged, settings_of
from pipeline.errors import ConfigError

Images = Annotated[
    str, typer.Argument(metavar="IMAGES|VIDEO", help="A folder of pictures, or a video file.", show_default=False)
]
Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="DIR",
        help="YOLO text files, or a COCO JSON file. Without labels the big model's boxes stand in.",
    ),
]
EveryNth = Annotated[
    int | None,
    typer.Option("--every", min=1, metavar="N", help="Take every Nth [every picture, or every 10th frame]."),
]
Resamples = Annotated[int, typer.Option("--resamples", min=1, metavar="N", help="Resamples for the intervals.")]
Cache = Annotated[
    Path, typer.Option("--cache", metavar="DIR", help="Where detections are kept, so that the models look but once.")
]

mine = typer.Typer(
    name="mine",
    help="Make a miner of your own: fit it to your cameras and models.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@mine.callback()
def _commands() -> None:
    """One command or more."""


@mine.command(cls=Command)
def fit(
    images: Images,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE.onnx", help="The file to write.", show_default=False)
    ],
    labels: Labels = None,
    every: EveryNth = None,
    little: LittleModel = None,
    big: BigModel = None,
    changes: Annotated[
        int, typer.Option(min=0, metavar="N", help="So many changed copies of each picture are fitted on too.")
    ] = 2,
    folds: Annotated[int, typer.Option(min=2, metavar="N", help="Of the cross-validation.")] = 5,
    cache: Cache = Path("~/.cache/tandem"),
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Fit the miner Learned: to tell from the little model's boxes what the big one would gain.

    Both look at each picture, and at changed copies of it. Told is what share of the gap in mAP50 the miner recovers on
    pictures that it was not fitted on, beside LeastConfidence. Use the file with `--miner Learned` and
    `--set miner.model=FILE.onnx`. Never fit on pictures that you measure on.
    """
    from pipeline.app.evaluate.pictures import picture_set
    from pipeline.app.fitting.run import fit as run_fitting
    from pipeline.app.fitting.sample import Fitting

    loaded = config_from(config, {"detector.model": little, "cloud.model": big}, settings)
    log.configure("fit", level="warning" if loaded.log_level == "info" else loaded.log_level)
    pictures = picture_set(images, every, loaded.reader.every, loaded.reader.jpeg_quality)
    run_fitting(loaded, Fitting(pictures, labels, changes, folds, cache.expanduser(), out), console())


def evaluate(
    images: Images,
    labels: Labels = None,
    report: ReportFile = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page there, with curves and telling pictures.")
    ] = None,
    every: EveryNth = None,
    little: LittleModel = None,
    big: BigModel = None,
    watched: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="The class whose recall is told [helmet_off, or the first]."),
    ] = None,
    resamples: Resamples = 200,
    cache: Cache = Path("~/.cache/tandem"),
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Measure what each miner is worth on labelled pictures.

    Little and big look at each picture once. Then every miner is replayed: it sends the 5, 10, 20, 30 and 50 % that it
    finds hardest, and what that recovers of the gap between edge and cloud is told, beside chance and an oracle.
    Miners that measure nothing (CloudOnly, EdgeOnly) rank nothing, and those that judge by the picture (Blur, Motion)
    would need all pictures again: they are left out.
    """
    from pipeline.app.evaluate.pictures import picture_set
    from pipeline.app.evaluate.run import Evaluation
    from pipeline.app.evaluate.run import evaluate as run_evaluation

    loaded = config_from(config, {"detector.model": little, "cloud.model": big}, settings)
    log.configure("evaluate", level="warning" if loaded.log_level == "info" else loaded.log_level)
    pictures = picture_set(images, every, loaded.reader.every, loaded.reader.jpeg_quality)
    asked = Evaluation(pictures, labels, watched, resamples, cache.expanduser(), report, html)
    run_evaluation(loaded, asked, console())


def tune(
    budget: Annotated[
        str, typer.Option(metavar="BUDGET", help='What may be sent: "20 %", "200 kbit/s" or "5 frames/min".')
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Write the config there.")],
    images: Annotated[
        str | None,
        typer.Argument(metavar="[IMAGES|VIDEO]", help="A folder of pictures, or a video file.", show_default=False),
    ] = None,
    labels: Labels = None,
    report: Annotated[
        Path | None,
        typer.Option("--from", metavar="REPORT", help="Take the report of an evaluation instead of pictures."),
    ] = None,
    miners: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Choose among these [all that rank by boxes].")
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="RATE", help="So many frames a second are looked at, for rates [the video's]."),
    ] = None,
    every: EveryNth = None,
    little: LittleModel = None,
    big: BigModel = None,
    resamples: Resamples = 200,
    cache: Cache = Path("~/.cache/tandem"),
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Choose miner and threshold for a budget, and write the config.

    It is chosen from an evaluation: a report of tandem evaluate, or pictures, which the models look at only where they
    have not before. The config has what --config and --set say, the miner that recovers most of the gap between edge
    and cloud, and the budget, for tandem replay --config and tandem run --config.
    """
    from pipeline.app.evaluate.pictures import picture_set
    from pipeline.app.evaluate.run import Evaluation
    from pipeline.app.evaluate.tune import Tuning
    from pipeline.app.evaluate.tune import tune as run_tune
    from pipeline.budget import Budget

    if (images is None) == (report is None):
        raise ConfigError("IMAGES", "name pictures or a video, or a report of tandem evaluate with --from")
    options = {"detector.model": little, "cloud.model": big}
    loaded = config_from(config, options, settings)
    log.configure("tune", level="warning" if loaded.log_level == "info" else loaded.log_level)
    try:
        parsed = Budget.parse(budget)
    except ValueError as error:
        raise ConfigError("--budget", str(error)) from error
    if images is not None:
        pictures = picture_set(images, every, loaded.reader.every, loaded.reader.jpeg_quality)
        evaluated: Path | Evaluation = Evaluation(pictures, labels, None, resamples, cache.expanduser(), None)
    else:
        evaluated = report or Path()
    names = tuple(name.strip() for name in (miners or "").split(",") if name.strip())
    kept = merged(settings_of(config), overrides_of(options, settings))
    run_tune(loaded, Tuning(parsed, fps, names, evaluated, kept, output), console())
