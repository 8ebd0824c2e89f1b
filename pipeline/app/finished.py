"""A replay that is finished: what a file beside the ledger says of it, so that nobody does it again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from pipeline.app.fingerprint import fingerprint
from pipeline.app.parts import budgets, no_audit, sampling
from pipeline.app.places import Places
from pipeline.app.report import Report, Run
from pipeline.config import Config
from pipeline.errors import StorageError, TandemError
from pipeline.model import Tally
from stages.sources.address import parse_source
from stages.sources.factory import make_source
from stages.whole_files import publish


@dataclass(frozen=True, slots=True)
class Finished:
    """A replay whose streams are read to their ends, and all of whose frames have ended.

    Attributes:
        shapes: by stream what shapes its results, and how much of it is kept.
        tallies: what the ledger said of them.
        run: what the ledger does not say of the run that finished them.
        compared: the streams whose compare video was made after that.
    """

    shapes: Mapping[str, str]
    tallies: Mapping[str, Tally]
    run: Run
    compared: Sequence[str] = ()

    @classmethod
    def of(cls, config: Config, report: Report) -> Self | None:
        """What is to be remembered of a replay that was not interrupted; None where it may go on, as a camera does."""
        shapes = _shapes(config)
        tallies = {name: stream.tally for name, stream in report.streams.items()}
        if not report.balanced or tallies.keys() != shapes.keys() or any(tally.pending for tally in tallies.values()):
            return None
        return cls(shapes, tallies, report.run)

    @classmethod
    def read(cls, config: Config, places: Places) -> tuple[Self, Report] | None:
        """The replay of this config and its report, if it is finished and nothing of it has changed since."""
        try:
            known = TypeAdapter(cls).validate_json(places.finished.read_bytes())
            report = Report.read(places, known.run, budgets(config), no_audit(config))
            if known.shapes == _shapes(config) and cls.of(config, report) == replace(known, compared=()):
                return known, report
        except (OSError, ValidationError, TandemError):  # whatever it is: a run will tell
            pass
        return None

    def with_video_of(self, stream: str) -> Self:
        """The same, where the compare video of a stream is made."""
        return replace(self, compared=sorted({*self.compared, stream}))

    def keep(self, path: Path) -> None:
        """Remember it, if there is room; where there is none, the next run finds out by itself."""
        with contextlib.suppress(StorageError):
            publish({str(path): (json.dumps(asdict(self), indent=1) + "\n").encode()})


def _shapes(config: Config) -> dict[str, str]:
    """What tells whether the same would be done again; none where a stream never ends.

    Raises:
        SourceError: a source is not there.
    """
    shapes: dict[str, str] = {}
    for name, stream in config.streams.items():
        address = parse_source(stream.source)
        source = make_source(address, sampling(config, stream))
        if source.live:
            return {}
        shapes[name] = f"{fingerprint(config, name, address, source)} {config.sink.keep or ''}".strip()
    return shapes
