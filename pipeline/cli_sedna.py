"""The command ``tandem sedna``."""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from pipeline import log
from pipeline.cli_options import Command, Settings, console, overrides_of
from pipeline.errors import ConfigError

app = typer.Typer()


class Models(StrEnum):
    """Whose models are run."""

    NAMED = "named"
    SHIPPED = "shipped"


@app.command(cls=Command)
def sedna(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml", show_default=False, help="Models and a JointInferenceService, as kubectl applies them."
        ),
    ],
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that stands for the root of every node.")
    ] = Path("tandem-nodes"),
    models: Annotated[
        Models, typer.Option(metavar="named|shipped", help="Run the models that it names, or the shipped ones.")
    ] = Models.NAMED,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which service, where the file holds several.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew: remove the outputs of an earlier run.")] = False,
    cloud_workers: Annotated[
        int, typer.Option(min=1, metavar="N", show_default=False, help="How many cloud workers [1].")
    ] = 1,
    render: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Run nothing: write the manifests of a cluster there, for kubectl apply -k."),
    ] = None,
    image: Annotated[
        str, typer.Option(metavar="NAME", help="Tandem's image in these manifests.")
    ] = f"localhost/tandem:{installed_version('tandem-inference')}",
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report there as JSON.")] = None,
    settings: Settings = None,
) -> None:
    """Run Sedna's objects on this machine, without a cluster.

    Edge group, cloud worker and a private broker run as processes, and what the objects know as a path of a node is
    below --root. It ends when what the edge reads has ended, with the exit codes of tandem replay.
    """
    from pipeline.app.operator.by_hand import render_service
    from pipeline.app.replay_run import Options
    from pipeline.app.sedna.names import Image
    from pipeline.app.sedna.play import plan_of, play_service

    plan = plan_of(file, service, shipped=models is Models.SHIPPED)
    if render:
        if settings:
            raise ConfigError("--set", "it is for a run here: in a cluster, the template's environment says it")
        render_service(plan, render, Image(image), console())
        return
    overrides = overrides_of({}, settings)
    if "broker" in overrides:
        raise ConfigError("--set", "broker is the private one here")
    log.configure("sedna", level="warning")
    options = Options(workers=cloud_workers, fresh=fresh, report=report, folder="--root")
    raise typer.Exit(play_service(plan, root, options, console(), overrides))
