"""The command ``tandem evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import log
from pipeline.cli_options import BigModel, ConfigFile, LittleModel, ReportFile, Settings, config_from, console

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
