"""``tandem replay``: videos through edge group, broker and cloud workers, from the first frame to the report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from rich.console import Console

from broker.mosquitto import PrivateMosquitto
from pipeline.app.beforehand import check_goes_on, check_writable, checked, make_logs, needed
from pipeline.app.finished import Finished
from pipeline.app.interrupts import INTERRUPTED, Interrupts
from pipeline.app.lost_pictures import check_others, check_pictures
from pipeline.app.outcome import make_compare_videos, say_what_became
from pipeline.app.own_folder import own_folder
from pipeline.app.parts import budgets, no_audit
from pipeline.app.places import Places
from pipeline.app.replay_run import Options, ReplayRun
from pipeline.app.report import Report, Run
from pipeline.config import Config
from pipeline.errors import StorageError, TandemError
from stages.ledger_report import read_report, span_s
from stages.outputs import remove_outputs
from stages.sqlite_outbox import remove_outbox


def replay(config: Config, options: Options, console: Console) -> int:
    """Run the config's streams through the whole pipeline, and report.

    Returns:
        0 where every frame is accounted for and none waits, 1 where not, 130 after Ctrl-C.

    Raises:
        ConfigError: the call or config is wrong, before anything was run.
        ReplayError: a process failed.
        StorageError: there is no room to begin, or for the compare video; all else is done then.
    """
    beforehand = checked(config)
    beforehand.tell(console)
    if options.report:
        check_writable(options.report, needed(config, Places.of(config)))
    if options.fresh:
        remove_earlier(config)
    places = Places.of(config)
    with Interrupts().heeded() as interrupts:
        known = Finished.read(places.finished)
        earlier = known.report(config, places)
        if earlier is None:
            check_goes_on(config, places, options.folder)
        for lost in check_pictures(config.sink, places, options.folder):
            console.print(f"note: {lost}; --fresh makes them anew", highlight=False, markup=False, soft_wrap=True)
        if earlier is not None:
            console.print("finished before: nothing is left to do; --fresh begins anew", highlight=False)
            return _tell(config, options, Played(earlier, False, ()), known, interrupts=interrupts, console=console)
        played = play(config, options, places, beforehand.lengths, console, interrupts=interrupts)
        if played.report:
            known = known.after(config, played.report, interrupted=played.interrupted)
            known.keep(places.finished)
        return _tell(config, options, played, known, interrupts=interrupts, console=console)


def _tell(
    config: Config,
    options: Options,
    played: Played,
    finished: Finished,
    *,
    interrupts: Interrupts,
    console: Console,
) -> int:
    """Report, then make the compare videos, which takes its time; the exit code."""
    report, interrupted = played.report, played.interrupted
    if report is None:
        return INTERRUPTED
    say_what_became(report.places, console)
    report.show(console)
    if options.report:
        report.write(options.report)
        console.print(f"outputs   report: {options.report}", highlight=False, markup=False, soft_wrap=True)
    if config.sink.compare:
        try:
            interrupted |= _left_out_videos(report, finished, interrupts, int(interrupted), console)
        except StorageError:
            if not interrupted:
                raise
        if options.report and options.report.is_file():
            report.write(options.report)  # now it names them
    return _verdict(report, console, interrupted=interrupted)


def _left_out_videos(report: Report, finished: Finished, interrupts: Interrupts, before: int, console: Console) -> bool:
    """Make the compare videos that are missing; whether it was interrupted more often than ``before``."""
    places = report.places
    compared = {name for name, done in finished.streams.items() if done.compared}
    missing = [name for name in places.pictures if name not in compared or not places.compare(name).exists()]
    if missing:
        by = interrupts.another if before else "Ctrl-C"
        console.print(f"making the compare video; {by} leaves it out", highlight=False)
    try:
        for stream in make_compare_videos(places, missing, lambda: interrupts.count > before, console):
            finished = finished.with_video_of(stream)
            finished.keep(places.finished)
    except KeyboardInterrupt:
        return True
    for stream in places.pictures:
        if (video := places.compare(stream)).exists():
            console.print(f"outputs   {stream} compare: {video}", highlight=False, soft_wrap=True)
    return False


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
    interrupts: Interrupts,
    disturbing: Disturbing = lambda _: contextlib.nullcontext(lambda: None),
) -> Played:
    """Run the config's streams to their end, over a private broker unless the options say otherwise."""
    make_logs(places, options.folder)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(own_folder())
        broker = None
        if options.private_port is not None:
            broker = stack.enter_context(PrivateMosquitto(options.private_port, folder=folder))
            config = config.model_copy(update={"broker": config.broker.model_copy(update={"url": broker.url})})
        run = stack.enter_context(
            ReplayRun(config, options, places, folder, console, broker=broker, interrupts=interrupts).started()
        )
        with disturbing(run) as disturb:
            run.play(lengths, disturb)
        run.stop()
        cpu_s = run.cpu_s() | ({"broker": broker.cpu_s} if broker else {})
    report = None
    if places.ledger.exists():
        spent = Run(*span_s(places.ledger, run.began_ns), cpu_s, run.peak_rss_bytes(), run.models())
        report = Report.read(places, spent, budgets(config), no_audit(config))
    return Played(report, run.interrupted, tuple(run.mended))


def _verdict(report: Report, console: Console, *, interrupted: bool) -> int:
    if interrupted:
        console.print("interrupted: the same command goes on from here")
        return INTERRUPTED
    return 0 if report.balanced else 1


def remove_earlier(config: Config) -> None:
    """Remove what an earlier run wrote, whatever its streams were, if its pictures are in this config's folders.

    Raises:
        ConfigError: the ledger has streams of other runs with other folders, a process is using what is to be removed,
            or it cannot be removed.
    """
    runs = [Places.of(config)]
    names: Iterable[str] = ()
    with contextlib.suppress(TandemError):  # a ledger that is missing or damaged names no streams
        names = read_report(runs[0].ledger)
    if names:
        runs.append(Places.of(config.model_copy(update={"streams": dict.fromkeys((*config.streams, *names))})))
        check_others(runs[1], config.streams, config.sink.out)
    compare = [run.compare(stream) for run in runs for stream in run.pictures]
    places = runs[0]
    remove_outbox(places.outbox)
    folders = (folders for run in runs for folders in run.pictures.values())
    remove_outputs(folders, places.ledger, [*compare, places.finished])
