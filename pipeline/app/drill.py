"""``tandem drill``: a replay whose processes are killed again and again, compared with an undisturbed one."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from broker.mqtt import MqttLink
from pipeline.app.beforehand import check_writable, checked
from pipeline.app.drill_compare import differences
from pipeline.app.drill_moves import Moves
from pipeline.app.drill_turns import Turns, Victim
from pipeline.app.interrupts import INTERRUPTED, Interrupts
from pipeline.app.parts import broker_address, sampling
from pipeline.app.places import Places
from pipeline.app.replay import Played, play, remove_earlier
from pipeline.app.replay_run import Options, ReplayRun
from pipeline.config import Config
from pipeline.duration import Duration
from pipeline.errors import ConfigError
from pipeline.model import name_from
from stages.sources.address import parse_source
from stages.sources.factory import make_source

EXPIRES_S: Final = 86_400.0
"""No frame may expire merely because the processes were killed so often,"""

TRIES: Final = 1_000_000
"""nor end as poison because workers that had it in work were."""

SHOWN: Final = 20
"""So many differences are printed; the report has all of them."""

_UNDISTURBED: Final = "undisturbed"
_DRILLED: Final = "drilled"


@dataclass(frozen=True, slots=True)
class Drill:
    """What is done to the processes.

    Attributes:
        kinds: what is killed, in this order, again and again.
        every_s: the time between two kills, at least.
        workers: how many cloud workers there are.
        report: write the report there as JSON.
    """

    kinds: tuple[Victim, ...]
    every_s: float
    workers: int = 1
    report: Path | None = None


def drill(config: Config, drill: Drill, console: Console) -> int:
    """Run the config's streams undisturbed, then again with kills, and compare what they leave in ``sink.out``.

    Returns:
        0 where both runs balance and are identical but for times and names, nothing ended that was not killed, and
        every victim was killed; 1 where not; 130 after Ctrl-C.

    Raises:
        ConfigError: the call or config is wrong, before anything was run.
        ReplayError: a process failed.
    """
    beforehand = checked(config)
    beforehand.tell(console)
    _refuse_cameras(config)
    if drill.report:
        check_writable(drill.report)
    configs = {name: apart(config, name) for name in (_UNDISTURBED, _DRILLED)}
    for each in configs.values():
        remove_earlier(each)
    run = partial(_played, options=Options(workers=drill.workers), lengths=beforehand.lengths, console=console)
    console.print(f"{_UNDISTURBED}: the reference", highlight=False)
    reference = run(configs[_UNDISTURBED])
    if reference.interrupted:
        return INTERRUPTED
    kills = Kills(drill, console)
    console.print(f"{_DRILLED}: kill -9 every {drill.every_s:g} s: {', then '.join(drill.kinds)}", highlight=False)
    begun_s = time.monotonic()
    drilled = run(configs[_DRILLED], disturbing=kills.during)
    if drilled.interrupted:
        return INTERRUPTED
    took_s = time.monotonic() - begun_s
    found = list(differences(*(Places.of(each) for each in configs.values())))
    outcome = Outcome(kills.count, [*kills.missing(), *_unbidden(reference), *_unbidden(drilled)], found, took_s)
    outcome.show(console)
    if drill.report:
        outcome.write(drill.report, {_UNDISTURBED: reference, _DRILLED: drilled})
    return 0 if outcome.passed else 1


def _played(config: Config, **how: Any) -> Played:
    with Interrupts().heeded() as interrupts:
        return play(config, places=Places.of(config), interrupts=interrupts, **how)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a drill ended.

    Attributes:
        kills: how often each kind was killed.
        failed: what the drill did not do, and what it did not ask for.
        differences: between the two runs.
        took_s: how long the second run took.
    """

    kills: Mapping[Victim, int]
    failed: Sequence[str]
    differences: Sequence[str]
    took_s: float

    @property
    def passed(self) -> bool:
        """Whether all was done as asked, and nothing differs."""
        return not (self.failed or self.differences)

    def show(self, console: Console) -> None:
        """Print it for people."""
        same = "identical but for times and names"
        lines = [
            f"killed    {', '.join(f'{kind} {count}x' for kind, count in self.kills.items())} in {self.took_s:.1f} s",
            *(f"failed    {line}" for line in self.failed),
            *(f"differs   {line}" for line in self.differences[:SHOWN]),
            *[f"differs   {len(self.differences) - SHOWN} more"] * (len(self.differences) > SHOWN),
            f"pictures and ledger: {f'{len(self.differences)} differences' if self.differences else same}",
        ]
        for line in lines:
            console.print(line, highlight=False, soft_wrap=True)

    def write(self, path: Path, runs: Mapping[str, Played]) -> None:
        """Write it as JSON, with the reports of both runs.

        Raises:
            ConfigError: the file cannot be written.
        """
        reports = {name: played.report.as_json() for name, played in runs.items() if played.report}
        report = {
            "passed": self.passed,
            "kills": dict(self.kills),
            "failed": list(self.failed),
            "differences": list(self.differences),
            "took_s": round(self.took_s, 1),
            "runs": reports,
        }
        try:
            path.write_text(json.dumps(report, indent=2) + "\n")
        except OSError as error:
            raise ConfigError("--report", f"{path} cannot be written ({error.strerror}): name another file") from error


class Kills:
    """Kills the processes of a run, each in its turn.

    Attributes:
        count: how often each kind was killed.
    """

    def __init__(self, drill: Drill, console: Console) -> None:
        self.count: Mapping[Victim, int] = dict.fromkeys(drill.kinds, 0)
        self._drill = drill
        self._console = console

    @contextlib.contextmanager
    def during(self, run: ReplayRun) -> Iterator[Callable[[], None]]:
        """What ``run`` is to call while it plays."""
        processes: dict[Victim, Sequence[str]] = {
            Victim.BROKER: ["broker"],
            Victim.EDGE: ["edge"],
            Victim.WORKER: run.workers,
        }
        turns = Turns(self._drill.kinds, processes, self._drill.every_s, time.monotonic())
        self.count = turns.kills
        link = MqttLink(broker_address(run.config), name_from(f"drill-{id(run)}"), backoff_s=(0.1, 0.5))
        moves = Moves(run.config.service, link, lambda: run.incarnation("broker"))
        try:
            yield partial(self._disturb, run, turns, moves)
        finally:
            moves.close()

    def _disturb(self, run: ReplayRun, turns: Turns, moves: Moves) -> None:
        victim = turns.due(time.monotonic(), lambda name: moves.has_moved(run.incarnation(name)))
        if victim:
            self._console.print(f"kill -9 {victim}", highlight=False)
            run.kill(victim)

    def missing(self) -> Iterator[str]:
        """Who was never killed."""
        for kind, count in self.count.items():
            if not count:
                yield (
                    f"{kind}: was never killed, since the frames had ended before its turn: "
                    "take a longer video, more of its frames (--sample 1), --pace real, or a shorter --every"
                )


def _refuse_cameras(config: Config) -> None:
    for stream, settings in config.streams.items():
        if make_source(parse_source(settings.source), sampling(config, settings)).live:
            why = "a camera shows other frames each time: name a video file or a folder of pictures"
            raise ConfigError(f"streams.{stream}.source", why)


def apart(config: Config, name: str) -> Config:
    """The config of one of the two runs, with a folder of its own. The reference has no reason to wait."""
    unset = dict.fromkeys(("all_examples", "hard_edge", "hard_cloud", "state_dir", "keep"))
    sink = config.sink.model_copy(update={**unset, "out": config.sink.out / name, "compare": False})
    outbox = config.outbox.model_copy(update={"expires": Duration(EXPIRES_S), "tries": TRIES})
    reader = config.reader.model_copy(update={"pace": "max"} if name == _UNDISTURBED else {})
    return config.model_copy(update={"sink": sink, "outbox": outbox, "reader": reader})


def _unbidden(played: Played) -> Iterator[str]:
    for name in played.mended:
        yield f"{name}: ended by itself, and was started again"
