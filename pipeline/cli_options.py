"""What several commands take, and how it is read."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

from pipeline.config import Config, assignment, load, merged, nested
from pipeline.terminal import closable

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A YAML file; the README has its keys.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="One setting, e.g. miner.threshold_img=0.9; may be repeated."
    ),
]

ReportFile = Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write the report there as JSON.")]
LittleModel = Annotated[
    str | None, typer.Option("--little", metavar="MODEL", help="The edge's model: an ONNX file [the shipped little].")
]
BigModel = Annotated[
    str | None, typer.Option("--big", metavar="MODEL", help="The cloud's model: an ONNX file [the shipped big].")
]
Workers = Annotated[int, typer.Option(min=1, metavar="N", show_default=False, help="How many cloud workers [1].")]
Pace = Annotated[
    str | None,
    typer.Option("--pace", metavar="max|real", help="Read a file as fast as it goes, or in its own time [max]."),
]


class Command(TyperCommand):
    """A command whose help names an argument as its usage does; that it is a list of str tells people nothing."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of arguments and options."""
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            there = [(each, each.get_help_record(ctx)) for each in self.get_params(ctx) if each.param_type_name == kind]
            if rows := [(_shown(each, record[0]), record[1]) for each, record in there if record]:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _shown(parameter: Any, name: str) -> str:
    many = "..." if parameter.nargs != 1 else ""
    return name if parameter.param_type_name == "option" else f"{parameter.metavar or parameter.name}{many}"


def console() -> Console:
    """Standard output; where it is no terminal, nothing is wrapped or cut for its width."""
    return Console(file=closable(sys.stdout)) if sys.stdout.isatty() else Console(width=200)


def overrides_of(options: Mapping[str, Any], settings: Sequence[str] | None) -> dict[str, Any]:
    """A command's options as nested settings, and ``--set`` above them."""
    overrides: dict[str, Any] = {}
    for path, value in options.items():
        if value is not None:
            overrides = merged(overrides, nested(path, value))
    for text in settings or ():
        overrides = merged(overrides, assignment(text))
    return overrides


def config_from(file: Path | None, options: Mapping[str, Any], settings: Sequence[str] | None) -> Config:
    """The config with a command's options on top, and ``--set`` above them."""
    return load(file, overrides_of(options, settings))
