"""The command ``tandem export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli_options import console
from pipeline.errors import ConfigError


def export(
    outs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="OUT", help="Folders that runs wrote with --out [tandem-out].", show_default=False),
    ] = None,
    yolo: Annotated[Path | None, typer.Option(metavar="DIR", help="Make a YOLO data set in this new folder.")] = None,
    coco: Annotated[Path | None, typer.Option(metavar="DIR", help="Make a COCO data set in this new folder.")] = None,
    val: Annotated[
        float, typer.Option(min=0, max=0.9, metavar="SHARE", help="The share of the time that validates; 0 for none.")
    ] = 0.2,
    stretch: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Stretches of stream time that stay together [60 s, or less of short videos]."
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="These classes alone, in this order [the big model's].")
    ] = None,
    confidence: Annotated[
        float, typer.Option(min=0, max=1, metavar="SCORE", help="Leave out boxes that score less.", show_default=False)
    ] = 0.0,
) -> None:
    """Make a training set of the frames that the cloud answered, with the big model's boxes.

    Pictures are hard-linked where they can be, else copied. The same outputs give the same set. It ends with 2 where
    there is nothing to export, or where the folder is there already.
    """
    from pipeline.app.export import Export, Format, stretch_of
    from pipeline.app.export import export as run_export

    if (yolo is None) == (coco is None):
        raise ConfigError("--yolo", "name one new folder, with --yolo or with --coco")
    chosen = Export(
        form=Format.YOLO if yolo else Format.COCO,
        target=yolo or coco or Path(),
        val=val,
        stretch_s=None if stretch is None else stretch_of(stretch),
        classes=None if classes is None else tuple(name.strip() for name in classes.split(",") if name.strip()),
        confidence=confidence,
    )
    run_export(outs or [Path("tandem-out")], chosen, console())
