"""What a replay says at its end: for people, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.app.places import Places
from pipeline.app.sizes import size_text
from pipeline.app.spending import Spending, spendings
from pipeline.budget import Budget
from pipeline.errors import ConfigError, StorageError
from pipeline.gain import Estimate, Gain
from pipeline.model import Tally
from stages.ledger_report import StreamReport, percentile, read_report
from stages.whole_files import publish

PICTURES: Final = ("all", "hard_edge", "hard_cloud", "dataset")

_ENOUGH_AUDITED: Final = 20
"""With fewer audited frames the bounds are so wide that they only confuse."""


@dataclass(frozen=True, slots=True)
class Run:
    """What the ledger does not say of a run.

    Attributes:
        span_s: from its first capture to its last answer, seconds.
        admitted: the frames of that time.
        cpu_s: CPU seconds by process.
        peak_rss_bytes: the largest resident set by process.
        models: what answered, and what it ran on.
    """

    span_s: float
    admitted: int
    cpu_s: Mapping[str, float]
    peak_rss_bytes: Mapping[str, int]
    models: Mapping[str, str]

    @classmethod
    def joined(cls, runs: Iterable[Run]) -> Run:
        """One run in place of several, each of which counts once."""
        whole = cls(0.0, 0, {}, {}, {})
        counted: list[Run] = []
        for run in runs:
            if run not in counted:
                counted.append(run)
                whole = whole.followed_by(run)
        return whole

    def followed_by(self, other: Run) -> Run:
        """This run and another one that came after its end."""
        cpu_s, peaks = self.cpu_s, self.peak_rss_bytes
        return Run(
            self.span_s + other.span_s,
            self.admitted + other.admitted,
            {**cpu_s, **{name: cpu_s.get(name, 0.0) + spent_s for name, spent_s in other.cpu_s.items()}},
            {**peaks, **{name: max(peaks.get(name, 0), peak) for name, peak in other.peak_rss_bytes.items()}},
            {**self.models, **other.models},
        )

    @property
    def frames_per_s(self) -> float:
        """Admitted frames a second."""
        return self.admitted / self.span_s if self.span_s else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """The sums of a replay.

    Attributes:
        streams: what the ledger says, by stream.
        run: what it does not say.
        places: where the outputs are.
        budgets: what became of each stream's budget, where it has one.
        no_audit: why no easy frame is audited; empty where some are.
    """

    streams: Mapping[str, StreamReport]
    run: Run
    places: Places
    budgets: Mapping[str, Spending]
    no_audit: str = ""

    @classmethod
    def read(cls, places: Places, run: Run, budgets: Mapping[str, Budget], no_audit: str = "") -> Report:
        """Read the ledger."""
        streams = {name: stream for name, stream in read_report(places.ledger).items() if name in places.pictures}
        spent = spendings(budgets, {name: stream.paid for name, stream in streams.items()})
        return cls(streams, run, places, spent, no_audit)

    @property
    def balanced(self) -> bool:
        """Whether every frame of every stream is accounted for."""
        return all(stream.tally.balanced for stream in self.streams.values())

    @property
    def upload_ratio(self) -> float:
        """The part of the admitted frames that was sent to a worker."""
        admitted = sum(stream.tally.admitted for stream in self.streams.values())
        return sum(stream.uploaded for stream in self.streams.values()) / admitted if admitted else 0.0

    @property
    def upload_bytes(self) -> int:
        """What was sent to workers."""
        return sum(stream.upload_bytes for stream in self.streams.values())

    def latency_ms(self) -> dict[str, dict[str, float | None]]:
        """Percentiles from capture to the edge's answer, and to the cloud's."""
        columns = {
            "edge": [stream.edge_ms for stream in self.streams.values()],
            "cloud": [stream.cloud_ms for stream in self.streams.values()],
        }
        joined = {name: np.concatenate([np.zeros(0), *parts]) for name, parts in columns.items()}
        return {
            name: {"p50": _rounded(percentile(all_ms, 50)), "p99": _rounded(percentile(all_ms, 99))}
            for name, all_ms in joined.items()
        }

    def outputs(self) -> dict[str, Any]:
        """The paths of everything that was written."""
        streams = {
            name: {
                **{part: str(getattr(folders, part)) for part in PICTURES},
                "compare": str(self.places.compare(name)) if self.places.compare(name).exists() else None,
            }
            for name, folders in self.places.pictures.items()
        }
        return {"ledger": str(self.places.ledger), "streams": streams}

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "streams": {name: asdict(stream.tally) for name, stream in self.streams.items()},
            "balanced": self.balanced,
            "upload": {"ratio": round(self.upload_ratio, 4), "bytes": self.upload_bytes},
            "budget": {name: spent.json() for name, spent in self.budgets.items()},
            "pictures": {
                name: {"kept_bytes": stream.kept_bytes, "removed_frames": stream.removed}
                for name, stream in self.streams.items()
            },
            "gain": {name: asdict(stream.gain) for name, stream in self.streams.items()},
            "frames_per_s": round(self.run.frames_per_s, 2),
            "latency_ms": self.latency_ms(),
            "cpu_s": {name: round(seconds, 3) for name, seconds in self.run.cpu_s.items()},
            "peak_rss_bytes": dict(self.run.peak_rss_bytes),
            "models": dict(self.run.models),
            "outputs": self.outputs(),
        }

    def write(self, path: Path) -> None:
        """Write the JSON.

        Raises:
            ConfigError: the file cannot be written.
        """
        text = json.dumps(self.as_json(), indent=2) + "\n"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() or not path.exists():
                publish({str(path): text.encode()})
            else:
                path.write_text(text)  # a terminal, or a pipe
        except (OSError, StorageError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError("--report", f"{path} cannot be written ({why}): name another file") from error

    def show(self, console: Console) -> None:
        """Print it for people."""
        # As wide as it must be: a terminal that is narrower wraps it, where Rich would cut off names.
        console.print(
            _ledger_table(self.streams), width=max(console.width, 16 + 65 * len(self.streams)), soft_wrap=True
        )
        for line in self._lines():
            console.print(line, highlight=False, soft_wrap=True)

    def _lines(self) -> Iterator[str]:
        latency = self.latency_ms()
        yield f"ledger    {'balanced' if self.balanced else 'NOT BALANCED'}"
        yield f"upload    {self.upload_ratio:.1%} of the frames, {size_text(self.upload_bytes)}"
        for name, spent in self.budgets.items():
            yield f"budget    {name}: {spent}"
        for name, stream in self.streams.items():
            yield from _gain_lines(name, stream.gain, self.no_audit)
        yield f"speed     {self._speed()}"
        for name, text in (("edge", "edge answers"), ("cloud", "cloud answers")):
            yield f"{text:<14}p50 {_ms(latency[name]['p50'])}, p99 {_ms(latency[name]['p99'])} after capture"
        yield "cpu       " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.run.cpu_s.items())
        yield "models    " + ", ".join(f"{name}: {model}" for name, model in self.run.models.items())
        if removed := sum(stream.removed for stream in self.streams.values()):
            kept_bytes = sum(stream.kept_bytes for stream in self.streams.values())
            words = f"those of {removed} older frames are removed (sink.keep)"
            yield f"kept      {size_text(kept_bytes)} of pictures; {words}"
        for name, folders in self.places.pictures.items():
            for part in PICTURES:
                yield f"outputs   {name} {part}: {getattr(folders, part)}"
        yield f"outputs   ledger: {self.places.ledger}"

    def _speed(self) -> str:
        """Of the run alone; what an earlier one has done is not its merit."""
        admitted = sum(stream.tally.admitted for stream in self.streams.values())
        run = self.run
        if run.admitted == 0:
            return "-, since no frame was left to read"
        which = ""
        if run.admitted != admitted:
            which = "of that run, other streams' too" if run.admitted > admitted else "that were left to read"
            which = f", of the {run.admitted} frames {which}"
        return f"{run.frames_per_s:.1f} frames/s{which}"


def _ledger_table(streams: Mapping[str, StreamReport]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("frames", no_wrap=True)
    for name in streams:
        table.add_column(name, justify="right", no_wrap=True)
    for state in (field.name for field in fields(Tally)):
        table.add_row(state, *(str(getattr(stream.tally, state)) for stream in streams.values()))
    return table


def _gain_lines(stream: str, gain: Gain, no_audit: str) -> Iterator[str]:
    easy = gain.easy
    if gain.missed is None or gain.corrected is None or easy.answered < min(_ENOUGH_AUDITED, easy.frames):
        yield f"gain      {stream}: {_not_told(gain, no_audit)}"
        return
    recall = f", and the miner sends it {_share(gain.recall)} of those" if gain.recall else ""
    yield (
        f"gain      {stream}: the edge misses something in {_share(gain.missed)} of the frames; the cloud would "
        f"correct {_share(gain.corrected)} of them{recall}; {easy.answered} of {easy.frames} easy frames audited"
    )


def _not_told(gain: Gain, no_audit: str) -> str:
    hard, easy = gain.hard, gain.easy
    if not easy.frames:
        return f"too early to tell: the cloud has answered none of the {hard.frames} hard frames, and no frame is easy"
    if no_audit:
        return f"nobody can tell: {no_audit}"
    return (
        f"too early to tell: the cloud has seen {easy.answered} of {easy.frames} easy frames (audited), and "
        f"{_ENOUGH_AUDITED} are needed; run for longer, or raise audit.share"
    )


def _share(share: Estimate) -> str:
    return f"{share.share:.0%} ({share.low:.0%} to {share.high:.0%})"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
