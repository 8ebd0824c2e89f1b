"""What is finished of a ledger: what a file beside it says of that, so that nobody does it again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from pipeline.app.fingerprint import fingerprint
from pipeline.app.parts import budgets, no_audit, sampling
from pipeline.app.places import Places
from pipeline.app.report import Report, Run
from pipeline.config import Config
from pipeline.errors import SourceError, StorageError, TandemError
from pipeline.model import Tally
from stages.sources.address import parse_source
from stages.sources.factory import make_source
from stages.whole_files import publish


@dataclass(frozen=True, slots=True)
class Done:
    """A stream that is read to its end, and all of whose frames have ended.

    Attributes:
        shape: what shapes its results, and how much of it is kept.
        tally: what the ledger said of it.
        run: what the ledger does not say of the run that finished it.
        compared: whether its compare video was made after that.
    """

    shape: str
    tally: Tally
    run: Run
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """The streams of one ledger that are done, whichever commands did them."""

    streams: Mapping[str, Done]

    @classmethod
    def read(cls, path: Path) -> Self:
        """What is known; nothing where the file is missing, damaged or of another Tandem: a run will tell."""
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return cls({})

    def report(self, config: Config, places: Places) -> Report | None:
        """The report of this config's streams, if all are done and nothing of them has changed since."""
        if not config.streams.keys() <= self.streams.keys():
            return None
        with contextlib.suppress(TandemError):  # whatever it is: a run will tell
            run = Run.joined(self.streams[name].run for name in config.streams)
            report = Report.read(places, run, budgets(config), no_audit(config))
            if self._still(_shapes(config), report).keys() == config.streams.keys():
                return report
        return None

    def after(self, config: Config, report: Report, *, interrupted: bool) -> Self:
        """The same after a run of this config. Who was done before stays as it was; who may go on is not done.

        Args:
            config: of the run.
            report: its report.
            interrupted: whether streams may not have been read to their ends.
        """
        shapes, tallies = _shapes(config), _ended(report)
        others = {name: done for name, done in self.streams.items() if name not in config.streams}
        ran = {name: Done(shapes[name], tallies[name], report.run) for name in shapes.keys() & tallies.keys()}
        return replace(self, streams=others | ({} if interrupted else ran) | self._still(shapes, report))

    def with_video_of(self, stream: str) -> Self:
        """The same, where the compare video of a stream is made."""
        if stream not in self.streams:
            return self
        return replace(self, streams={**self.streams, stream: replace(self.streams[stream], compared=True)})

    def keep(self, path: Path) -> None:
        """Remember it, if there is room; where there is none, the next run finds out by itself."""
        with contextlib.suppress(StorageError):
            publish({str(path): (json.dumps(asdict(self), indent=1) + "\n").encode()})

    def _still(self, shapes: Mapping[str, str], report: Report) -> dict[str, Done]:
        """Those of ``shapes`` that were done, and of which nothing has changed since."""
        ended = _ended(report)
        return {
            name: done
            for name, done in self.streams.items()
            if (done.shape, done.tally) == (shapes.get(name), ended.get(name))
        }


def _ended(report: Report) -> dict[str, Tally]:
    """The streams all of whose frames have ended."""
    tallies = {name: stream.tally for name, stream in report.streams.items()}
    return {name: tally for name, tally in tallies.items() if tally.balanced and not tally.pending}


def _shapes(config: Config) -> dict[str, str]:
    """What tells whether the same would be done again, of each stream whose source is there and has an end."""
    shapes: dict[str, str] = {}
    for name, stream in config.streams.items():
        address = parse_source(stream.source)
        source = make_source(address, sampling(config, stream))
        if not source.live:
            with contextlib.suppress(SourceError):
                shapes[name] = f"{fingerprint(config, name, address, source)} {config.sink.keep or ''}".strip()
    return shapes
