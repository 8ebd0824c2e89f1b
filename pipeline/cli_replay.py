"""The commands that replay videos: ``tandem replay`` and ``tandem drill``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline import log
from pipeline.cli_options import (
    BigModel,
    ConfigFile,
    LittleModel,
    Pace,
    ReportFile,
    Settings,
    Workers,
    config_from,
    console,
)
from pipeline.errors import ConfigError


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
