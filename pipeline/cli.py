"""The command ``tandem``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from pipeline import log
from pipeline.cli_broker import app as broker_app
from pipeline.cli_export import export
from pipeline.cli_mining import evaluate, tune
from pipeline.cli_mining import mine as mine_app
from pipeline.cli_operator import fetch, operator
from pipeline.cli_options import (
    BigModel,
    Command,
    ConfigFile,
    LittleModel,
    Pace,
    ReportFile,
    Settings,
    Workers,
    config_from,
    console,
)
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
def replay(
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VIDEO", help="A file, a file:// URL, a folder of pictures, or any URL that OpenCV opens."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Where all outputs go [tandem-out].")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew: remove the outputs of an earlier run.")] = False,
    every: Annotated[int | None, typer.Option(metavar="N", help="Take every Nth frame [10].")] = None,
    fps: Annotated[
        float | None, typer.Option(metavar="RATE", help="Take about so many frames a second instead.")
    ] = None,
    pace: Pace = None,
    miner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What tells hard frames, e.g. LeastConfidence or IBT; the README has all [LeastConfidence].",
        ),
    ] = None,
    little: LittleModel = None,
    big: BigModel = None,
    providers: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="ONNX Runtime's execution providers, best first [CPUExecutionProvider]."),
    ] = None,
    cloud_workers: Workers = 1,
    broker: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Use this running broker, mqtt://HOST:PORT, instead of a private one."),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="PORT", show_default=False, help="The private broker's port [a free one]."
        ),
    ] = 0,
    split: Annotated[bool, typer.Option("--split", help="Run every stage in a process of its own.")] = False,
    compare: Annotated[
        bool, typer.Option(show_default=False, help="Make the side-by-side video, or not [compare].")
    ] = True,
    explain: Annotated[
        bool, typer.Option("--explain", help="Write on each picture what was decided, and why.")
    ] = False,
    report: ReportFile = None,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Replay videos through edge, broker and cloud worker.

    What an earlier run with the same --out has finished is not done again. Ctrl-C finishes local work and leaves
    complete outputs; the same command then goes on. It ends with 0 where every frame is accounted for, 1 where not
    or where a process failed, 2 where the call or the config is wrong, and 130 after Ctrl-C.
    """
    from pipeline.app.replay import replay as run_replay  # each command loads only what it needs
    from pipeline.app.replay_run import Options
    from pipeline.app.streams import sampled, streams_of

    options = {
        "sink.out": out,
        "sink.compare": None if compare else False,
        "sink.explain": explain or None,
        "reader.every": every,
        "reader.fps": fps,
        "reader.pace": pace,
        "miner.name": miner,
        "detector.model": little,
        "cloud.model": big,
        "detector.providers": providers,
        "cloud.providers": providers,
        "broker.url": broker,
    }
    loaded = sampled(config_from(config, options, settings), every, fps)
    if videos:
        loaded = loaded.model_copy(update={"streams": streams_of(videos)})
    if not loaded.streams:
        raise ConfigError("VIDEO", "name a video file, a folder of pictures, or a URL")
    # What this process would tell at "info", it prints.
    log.configure("replay", level="warning" if loaded.log_level == "info" else loaded.log_level)
    chosen = Options(None if broker else port, cloud_workers, split, fresh, report)
    raise typer.Exit(run_replay(loaded, chosen, console()))


@app.command(cls=Command)
def drill(
    videos: Annotated[
        list[str] | None,
        typer.Argument(metavar="VIDEO", help="A video file or a folder of pictures; not a camera."),
    ] = None,
    kill: Annotated[
        str, typer.Option(metavar="VICTIM,...", help="What is killed in turn: broker, worker, edge.")
    ] = "broker,worker,edge",
    every: Annotated[str, typer.Option(metavar="TIME", help="The time between two kills, e.g. 2s or 500ms.")] = "2s",
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where both runs put their outputs; those of an earlier drill go.")
    ] = Path("tandem-drill"),
    sample: Annotated[int | None, typer.Option(metavar="N", help="Take every Nth frame [10].")] = None,
    pace: Pace = None,
    workers: Workers = 1,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of all randomness that shapes results [0].")] = None,
    report: ReportFile = None,
    config: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Replay videos, then again while processes are killed, and compare the two.

    One victim in turn gets kill -9, none again before it was ready and has moved a frame since. It ends with 0 where
    pictures and ledger of both runs are identical but for times and names, and every victim was killed; with 1 where
    not; with 2 where the call or the config is wrong; with 130 after Ctrl-C.
    """
    from pipeline.app.drill import Drill
    from pipeline.app.drill import drill as run_drill
    from pipeline.app.drill_turns import seconds_of, victims_of
    from pipeline.app.streams import sampled, streams_of

    chosen = Drill(victims_of(kill), seconds_of(every), workers, report)
    options = {"sink.out": out, "reader.every": sample, "reader.pace": pace, "seed": seed}
    loaded = sampled(config_from(config, options, settings), sample, None)
    if not videos:
        raise ConfigError("VIDEO", "name a video file or a folder of pictures")
    loaded = loaded.model_copy(update={"streams": streams_of(videos)})
    # Its processes are lost and found all the time; what becomes of them, it prints.
    log.configure("drill", level="error" if loaded.log_level == "info" else loaded.log_level)
    raise typer.Exit(run_drill(loaded, chosen, console()))


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
