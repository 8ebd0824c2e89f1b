"""The command ``tandem``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from pipeline import log
from pipeline.cli_broker import app as broker_app
from pipeline.cli_export import export
from pipeline.cli_mining import evaluate, tune
from pipeline.cli_mining import mine as mine_app
from pipeline.cli_operator import fetch, operator
from pipeline.cli_options import Command, ConfigFile, Settings, config_from, console
from pipeline.cli_replay import drill, replay
from pipeline.cli_sedna import app as sedna_app
from pipeline.errors import ConfigError, TandemError
from pipeline.stage import StageName

_BY_USE: Final = (
    "replay",
    "run",
    "check",
    "status",
    "evaluate",
    "mine",
    "tune",
    "export",
    "sedna",
    "operator",
    "broker",
)


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        """Those that people begin with come first."""
        there = super().list_commands(ctx)
        return [*(name for name in _BY_USE if name in there), *(name for name in there if name not in _BY_USE)]


app = typer.Typer(
    name="tandem",
    cls=_Commands,
    help="Joint inference for cameras: a little model at the edge, a big one in the cloud, MQTT between them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(broker_app)
app.add_typer(sedna_app)
app.add_typer(mine_app)
app.command(cls=Command)(replay)
app.command(cls=Command)(drill)
app.command(cls=Command)(export)
app.command(cls=Command)(evaluate)
app.command(cls=Command)(tune)
app.command(cls=Command)(operator)
app.command(cls=Command, hidden=True)(fetch)  # for the operator's init containers


def main() -> NoReturn:
    """Run a command; errors of Tandem become one line on stderr and an exit code."""
    try:
        app()
    except KeyboardInterrupt:  # before a command runs: typer sees to it from there on
        sys.exit(130)
    except TandemError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(getattr(error, "exit_code", 2 if isinstance(error, ConfigError) else 1))
    raise AssertionError("a command exits")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tandem {installed_version('tandem-inference')}")
        raise typer.Exit


@app.callback()
def tandem(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Joint inference for cameras: a little model at the edge, a big one in the cloud, MQTT between them."""


@app.command(cls=Command)
def run(
    stages: Annotated[
        list[StageName],
        typer.Argument(metavar="STAGE", help="reader, detector, miner, uplink, sink (the edge), or cloud (a worker)."),
    ],
    http: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT", help="Serve /metrics, /healthz and /readyz, on 127.0.0.1 unless a host is given."
        ),
    ] = None,
    anew: Annotated[
        bool,
        typer.Option(
            "--anew",
            help="Set outputs of another config, or another Tandem's, aside instead of refusing to go on.",
        ),
    ] = False,
    config: ConfigFile = None,
    settings: Settings = None,
    held: Annotated[str, typer.Option("--held", hidden=True)] = "",
) -> None:
    """Run stages against a broker until SIGTERM.

    It waits for the broker and for sources as long as it takes. After SIGTERM it finishes what is here, without waiting
    for the cloud, and ends with 0.
    """
    from pipeline.app.compose import Names
    from pipeline.app.run import run as run_stages

    loaded = config_from(config, _listen(http), settings)
    log.configure(Names.of(loaded, stages).process, level=loaded.log_level)
    if anew:
        from pipeline.app.anew import begin_anew

        begin_anew(loaded, datetime.now(UTC))
    run_stages(loaded, list(dict.fromkeys(stages)), held=held)


@app.command(cls=Command)
def check(
    stages: Annotated[
        list[StageName] | None,
        typer.Argument(metavar="STAGE", help="What is to run here; all stages if none is named."),
    ] = None,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Try all that a run needs, and say what is wrong.

    It reads the config, opens sources, loads models, looks at folders, and publishes a probe to every topic. It ends
    with 0 where all is well, else with 2.
    """
    from pipeline.app.check import check as run_check

    loaded = config_from(config, {}, settings)
    log.configure("check", level="critical")
    raise typer.Exit(run_check(loaded, stages or list(StageName), console()))


@app.command(cls=Command)
def status(
    broker: Annotated[str | None, typer.Option(metavar="URL", help="The broker, mqtt[s]://HOST:PORT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on and print it again until Ctrl-C.")] = False,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Show streams, workers and processes as the broker knows them.

    Of the config's service, or of all services where none is set. It ends with 0 where something is there and all is
    well, 1 where not, 2 where the broker is not reached.
    """
    from pipeline.app.status import status as show_status

    loaded = config_from(config, {"broker.url": broker}, settings)
    log.configure("status", level="critical")
    raise typer.Exit(show_status(loaded, console(), as_json=as_json, watch=watch))


def _listen(text: str | None) -> Mapping[str, str | None]:
    """The settings of ``[HOST:]PORT``; an address of IPv6 may stand in brackets."""
    host, _, port = (text or "").rpartition(":")
    return {"http.host": host.removeprefix("[").removesuffix("]") or None, "http.port": port or text}
