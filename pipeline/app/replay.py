"""``tandem replay``: videos through edge group, broker and cloud workers, from the first frame to the report."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from broker.mosquitto import PrivateMosquitto
from pipeline.app.outcome import make_compare_videos, say_what_became
from pipeline.app.parts import miner_of, sampling
from pipeline.app.places import Places
from pipeline.app.replay_run import INTERRUPTED, Options, ReplayRun
from pipeline.app.report import Report
from pipeline.config import Config
from pipeline.errors import ConfigError, SourceError, StorageError, TandemError
from stages.ledger_report import read_report
from stages.outputs import remove_outputs
from stages.sources.address import parse_source
from stages.sources.factory import check_source, make_source
from stages.sqlite_outbox import remove_outbox


def replay(config: Config, options: Options, console: Console) -> int:
    """Run the config's streams through the whole pipeline, and report.

    Returns:
        0 where every frame is accounted for and none waits, 1 where not, 130 after Ctrl-C.

    Raises:
        ConfigError: the call or config is wrong, before anything was run.
        ReplayError: a process failed.
        StorageError: there is no room for the compare video; all else is done.
    """
    lengths = checked(config)
    if options.report:
        check_report(options.report)
    places = Places.of(config)
    if options.fresh:
        remove_earlier(config, places)
    played = play(config, options, places, lengths, console)
    if played.report is None:
        return INTERRUPTED
    interrupted, unmade = played.interrupted, None
    try:
        interrupted |= config.sink.compare and not make_compare_videos(places, console)
    except StorageError as error:  # the report comes first
        unmade = error
    say_what_became(places, console)
    played.report.show(console)
    if options.report:
        played.report.write(options.report)
    if unmade and not interrupted:
        raise unmade
    return _verdict(played.report, console, interrupted=interrupted)


@dataclass(frozen=True, slots=True)
class Played:
    """How a run through the whole pipeline ended.

    Attributes:
        report: its sums; None where it was interrupted before there was a ledger.
        interrupted: whether somebody pressed Ctrl-C.
        mended: the processes that ended by themselves and were started again.
    """

    report: Report | None
    interrupted: bool
    mended: tuple[str, ...]


Disturbing = Callable[[ReplayRun], AbstractContextManager[Callable[[], None]]]
"""Gives what ``ReplayRun.play`` is to call, once the frames have begun."""


def play(
    config: Config,
    options: Options,
    places: Places,
    lengths: Mapping[str, int | None],
    console: Console,
    *,
    disturbing: Disturbing = lambda _: contextlib.nullcontext(lambda: None),
) -> Played:
    """Run the config's streams to their end, over a private broker unless the options say otherwise."""
    _make(places)
    with contextlib.ExitStack() as stack:
        broker = None
        if options.private_port is not None:
            broker = stack.enter_context(PrivateMosquitto(options.private_port))
            config = config.model_copy(update={"broker": config.broker.model_copy(update={"url": broker.url})})
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-")))
        run = stack.enter_context(ReplayRun(config, options, places, folder, console, broker=broker).started())
        with disturbing(run) as disturb:
            run.play(lengths, disturb)
        run.stop()
        cpu_s = run.cpu_s() | ({"broker": broker.cpu_s} if broker else {})
    report = None
    if places.ledger.exists():
        peak = run.peak_rss_bytes()
        report = Report.read(places, run.began_ns, cpu_s=cpu_s, peak_rss_bytes=peak, models=run.models())
    return Played(report, run.interrupted, tuple(run.mended))


def _verdict(report: Report, console: Console, *, interrupted: bool) -> int:
    if interrupted:
        console.print("interrupted: the same command goes on from here")
        return INTERRUPTED
    return 0 if report.balanced else 1


def checked(config: Config) -> dict[str, int | None]:
    """Look at sources and miner before anything starts; returns each source's length in frames, where it has one."""
    miner_of(config)
    lengths: dict[str, int | None] = {}
    for stream, settings in config.streams.items():
        source = make_source(parse_source(settings.source), sampling(config, settings))
        try:
            lengths[stream] = check_source(source)
        except SourceError as error:
            raise ConfigError(f"streams.{stream}.source", str(error)) from error
    return lengths


def check_report(path: Path) -> None:
    """See now that the report can be written at the end."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        wrong = "it is a folder" if path.is_dir() else "" if os.access(path.parent, os.W_OK) else "Permission denied"
    except OSError as error:
        wrong = error.strerror or str(error)
    if wrong:
        raise ConfigError("--report", f"{path} cannot be written ({wrong}): name another file")


def remove_earlier(config: Config, places: Places) -> None:
    """Remove what an earlier run wrote, whatever its streams were."""
    runs = [places]
    with contextlib.suppress(TandemError):  # a ledger that is missing or damaged names no streams
        names = read_report(places.ledger)
        runs.append(Places.of(config.model_copy(update={"streams": dict.fromkeys(names)})))
    compare = [run.compare(stream) for run in runs for stream in run.pictures]
    remove_outbox(places.outbox)
    remove_outputs((folders for run in runs for folders in run.pictures.values()), places.ledger, compare)


def _make(places: Places) -> None:
    try:
        places.logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("--out", f"{places.logs} cannot be made ({error.strerror}): name another folder") from error
