"""What earlier runs have for a training set: the frames that the cloud answered, and why others are left out."""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ConfigError
from stages.ledger_report import FrameRow, StreamReport, is_there, read_extent_s, read_frames, read_report
from stages.training_set import Sample

GONE = "without a picture (removed by sink.keep, or taken out of dataset/)"
WAITS = "still wait for the cloud"
UNANSWERED = "ended without the cloud's answer"
TWICE = "the same picture of the same source twice"


@dataclass(frozen=True, slots=True)
class Found:
    """What there is.

    Attributes:
        samples: in the order of folders, streams and ``seq``.
        classes: the big model's class names in its order, and behind them those of the next folder that are new.
        left_out: how many frames that were sent are not among them, by reason.
        extents_s: the time of each source, from its first frame to its last one, whether they were sent or not.
    """

    samples: list[Sample] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    extents_s: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def spans_s(self) -> dict[str, float]:
        """How long each source is, as far as it was read, seconds."""
        return {source: last - first for source, (first, last) in self.extents_s.items()}


@dataclass(frozen=True, slots=True)
class _Stream:
    out: Path
    ledger: Path
    dataset: Path
    name: str
    report: StreamReport


def find(outs: Sequence[Path]) -> Found:
    """Read what runs have left in their folders. One that goes on may go on.

    Raises:
        ConfigError: a folder has no ledger or a damaged one, is named twice, or two streams share their pictures.
        StorageError: a ledger cannot be read now.
    """
    for out in outs:
        if sum(other.resolve() == out.resolve() for other in outs) > 1:
            raise ConfigError(str(out), "is named twice: name each folder once")
    streams = [stream for out in outs for stream in _streams(out)]
    names = Counter(stream.name for stream in streams)
    found = Found()
    seen: dict[tuple[str, int], Path] = {}
    for stream in streams:
        # No stream has a "_" in its name, so that no other one is called like this.
        prefix = f"{stream.name}_{1 + outs.index(stream.out)}" if names[stream.name] > 1 else stream.name
        for row in read_frames(stream.ledger, stream.name):
            if row.hard or row.audited:
                _take(found, stream, row, f"{prefix}_{row.seq}.jpeg", seen)
        _add_classes(found, stream)
        _extend(found, stream)
    return found


def _streams(out: Path) -> Iterator[_Stream]:
    """The streams of a folder, or of the one in which a run with Sedna's outputs keeps its ledger."""
    hidden = out / ".tandem" / "ledger.sqlite"
    ledger = hidden if is_there(hidden) else out / "ledger.sqlite"
    there: dict[Path, str] = {}
    for name, report in read_report(ledger).items():
        dataset = _dataset(ledger.parent, name)
        if dataset in there:
            raise ConfigError(
                str(dataset),
                f"has pictures of {there[dataset]} and of {name}, which cannot be told apart: run them anew",
            )
        there[dataset] = name
        yield _Stream(out, ledger, dataset, name, report)


def _dataset(state: Path, stream: str) -> Path:
    """Where a stream's untouched pictures are: see ``Places`` for the three layouts."""
    own = (state / stream / "dataset", state / "dataset" / stream)
    return next((folder for folder in own if folder.is_dir()), state / "dataset")


def _take(found: Found, stream: _Stream, row: FrameRow, name: str, seen: dict[tuple[str, int], Path]) -> None:
    picture = stream.dataset / f"{row.seq}.jpeg"
    if row.ending != "cloud":
        found.left_out[WAITS if row.ending is None else UNANSWERED] += 1
    elif row.removed or not _there(picture):
        found.left_out[GONE] += 1
    elif not stream.report.live and _same(seen.setdefault((stream.report.source, row.seq), picture), picture):
        found.left_out[TWICE] += 1
    else:
        found.samples.append(
            Sample(
                name=name,
                picture=picture,
                out=stream.out,
                stream=row.stream,
                source=stream.report.source,
                seq=row.seq,
                at_s=row.captured_ns / 1e9 if stream.report.live else row.media_s,
                width=row.width,
                height=row.height,
                labels=row.joint,
                audited=row.audited,
                verdict=row.verdict,
            )
        )


def _there(picture: Path) -> bool:
    """Pictures are not synced: after a power cut one may be empty."""
    return picture.is_file() and picture.stat().st_size > 0


def _same(first: Path, picture: Path) -> bool:
    return first != picture and filecmp.cmp(first, picture, shallow=False)


def _extend(found: Found, stream: _Stream) -> None:
    source = stream.report.source
    first_s, last_s = read_extent_s(stream.ledger, stream.name, live=stream.report.live)
    known = found.extents_s.get(source, (first_s, last_s))
    found.extents_s[source] = min(first_s, known[0]), max(last_s, known[1])


def _add_classes(found: Found, stream: _Stream) -> None:
    listed: list[str] = []
    try:
        listed = (stream.dataset / "classes.txt").read_text("utf-8").splitlines()
    except FileNotFoundError:
        pass  # nothing was answered, or somebody took it out: then the boxes' own names do
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(str(stream.dataset / "classes.txt"), f"cannot be read: {why}") from error
    seen = sorted({name for sample in found.samples for name in sample.labels.names})
    found.classes.extend(name for name in (*listed, *seen) if name not in found.classes)
