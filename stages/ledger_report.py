"""What a ledger says when a run is over: the sums of each stream, latencies, and its frames one by one. Reads only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError
from pipeline.gain import NO_GAIN, Found, Gain
from pipeline.model import Detections, Tally
from stages.gain import gain_of
from stages.ledger_schema import check_format, decode_boxes, is_new, prepare, translated

_FRAMES: Final = """SELECT seq, media_s, width, height, hard, verdict, ending, reason, edge_boxes, cloud_boxes,
    edge_files, cloud_files, removed_ns IS NOT NULL, audited, captured_ns,
    edge_model <> '' FROM frames WHERE stream = ? AND (NOT ? OR came + went > 0) ORDER BY seq"""

_FOUND: Final = """SELECT count(*), count(came), count(*) FILTER (WHERE came > 0),
    count(*) FILTER (WHERE came + went > 0)
    FROM frames WHERE stream = ? AND hard = ? AND (revision = 2 OR ending IS NOT 'failed')"""


_PAID: Final = """SELECT count(*), max(media_s) - min(media_s),
    coalesce(sum(json_extract(budget, '$.cost')) FILTER (WHERE hard OR audited), 0),
    sum(json_extract(budget, '$.cost'))
    FROM frames WHERE stream = ? AND budget IS NOT NULL"""


@dataclass(frozen=True, slots=True)
class Paid:
    """What was spent of a budget.

    Attributes:
        frames: that were decided within it.
        span_s: from the first of these to the last, media time.
        spent: in the budget's unit.
        whole: what it would be if all were sent; an estimate unless a part of it is the budget.
    """

    frames: int
    span_s: float
    spent: float
    whole: float


@dataclass(frozen=True, slots=True, eq=False)
class StreamReport:
    """One stream's sums.

    Attributes:
        tally: the endings are counted from the rows, so ``balanced`` is a check of the ledger itself.
        uploaded: how many frames were sent to a worker at least once.
        upload_bytes: what was sent to workers, every attempt counted.
        edge_ms: (N,) milliseconds from capture to revision 1, of all frames.
        cloud_ms: (M,) milliseconds from capture to revision 2, of the frames that the cloud answered.
        kept_bytes: what its pictures take on disk.
        removed: of how many frames the pictures were removed, since only so much is kept.
        gain: what the edge misses and what the cloud corrects, counted from the rows.
        paid: what was spent of its budget; None where it has none.
    """

    stream: str
    source: str
    live: bool
    tally: Tally
    uploaded: int
    upload_bytes: int
    edge_ms: npt.NDArray[np.float64]
    cloud_ms: npt.NDArray[np.float64]
    kept_bytes: int
    removed: int
    gain: Gain = NO_GAIN
    paid: Paid | None = None

    @property
    def upload_ratio(self) -> float:
        """The part of the admitted frames that was sent to a worker; 0 where none was admitted."""
        return self.uploaded / self.tally.admitted if self.tally.admitted else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class FrameRow:
    """One frame as the ledger has it.

    Attributes:
        verdict: the miner's reason.
        ending: easy, cloud, expired, failed or interrupted; None while the cloud may answer.
        reason: why it ended so, or empty.
        joint: the final boxes: the cloud's where it answered, else the edge's.
        files: the folders that have a picture of it.
        removed: whether its pictures were removed, since only so much is kept.
        audited: whether it was easy, and sent all the same.
        captured_ns: when it was captured or read, since the epoch.
        seen: whether the edge's model has looked at it.
    """

    stream: str
    seq: int
    media_s: float
    width: int
    height: int
    hard: bool
    verdict: str
    ending: str | None
    reason: str
    edge: Detections
    joint: Detections
    files: frozenset[str]
    removed: bool = False
    audited: bool = False
    captured_ns: int = 0
    seen: bool = True


def is_there(path: Path) -> bool:
    """Whether there is a ledger.

    Raises:
        ConfigError: we may not look into its folder.
    """
    try:
        return path.is_file()
    except OSError as error:
        why = f"cannot be looked for ({error.strerror}): name another folder, or let us into this one"
        raise ConfigError(str(path), why) from error


def read_report(path: Path) -> dict[str, StreamReport]:
    """The sums of every stream in the ledger, by its name, in the order of names. Its owner may go on writing.

    Raises:
        ConfigError: there is no ledger, or it is damaged.
        StorageError: it cannot be read now.
    """
    with _reading(path) as connection:
        rows = connection.execute(
            "SELECT stream, source, live, read, skipped, dropped, admitted, lost FROM streams ORDER BY stream"
        ).fetchall()
        return {row[0]: _stream_report(connection, row) for row in rows}


def read_fingerprints(path: Path) -> dict[str, str]:
    """What shaped the results of each stream in the ledger; errors as of ``read_report``."""
    with _reading(path) as connection:
        return dict(connection.execute("SELECT stream, fingerprint FROM streams WHERE fingerprint != ''"))


def read_frames(path: Path, stream: str, *, corrected: bool = False) -> Iterator[FrameRow]:
    """The frames of a stream, or those that the cloud ``corrected``, in the order of ``seq``; errors as of
    ``read_report``.
    """
    with _reading(path) as connection:
        for row in connection.execute(_FRAMES, (stream, corrected)):
            (
                seq,
                media_s,
                width,
                height,
                hard,
                verdict,
                ending,
                reason,
                edge_boxes,
                cloud_boxes,
                *files,
                removed,
                audited,
                captured_ns,
                seen,
            ) = row
            edge = decode_boxes(edge_boxes)
            joint = decode_boxes(cloud_boxes) if cloud_boxes is not None else edge
            have = frozenset(name for text in files if text and not removed for name in text.split(","))
            about = (seq, media_s, width, height, bool(hard), verdict, ending, reason)
            yield FrameRow(stream, *about, edge, joint, have, bool(removed), bool(audited), captured_ns, bool(seen))


def read_seqs(path: Path, stream: str, folder: str) -> Iterator[int]:
    """The frames of a stream that have a file in ``folder`` (``all``, ``hard_edge``, ``hard_cloud``, ``dataset``), the
    newest first; errors as of ``read_report``.
    """
    query = """SELECT seq FROM frames WHERE stream = ? AND removed_ns IS NULL
        AND instr(',' || edge_files || ',' || coalesce(cloud_files, '') || ',', ',' || ? || ',') ORDER BY seq DESC"""
    with _reading(path) as connection:
        for (seq,) in connection.execute(query, (stream, folder)):
            yield seq


def read_media_s(path: Path, stream: str) -> list[float]:
    """When in their source the frames lie whose pictures were not removed, seconds; errors as of ``read_report``."""
    query = "SELECT media_s FROM frames WHERE stream = ? AND removed_ns IS NULL ORDER BY seq"
    with _reading(path) as connection:
        return [media_s for (media_s,) in connection.execute(query, (stream,))]


def read_extent_s(path: Path, stream: str, *, live: bool) -> tuple[float, float]:
    """The time of a stream's frames: from a file's start to its last one, or of a camera since the epoch, seconds.

    Errors as of ``read_report``.
    """
    query = "SELECT min(captured_ns) / 1e9, max(captured_ns) / 1e9, max(media_s) FROM frames WHERE stream = ?"
    with _reading(path) as connection:
        first_s, last_s, end_s = connection.execute(query, (stream,)).fetchone()
        return (first_s or 0.0, last_s or 0.0) if live else (0.0, end_s or 0.0)


def read_ending(path: Path, stream: str, ending: str) -> tuple[int, int, str]:
    """How many frames of a stream ended so, the ``seq`` of the first, and why; errors as of ``read_report``."""
    # Of the bare column, SQLite takes the row with the minimum.
    query = "SELECT count(*), coalesce(min(seq), 0), coalesce(reason, '') FROM frames WHERE stream = ? AND ending = ?"
    with _reading(path) as connection:
        count, seq, reason = connection.execute(query, (stream, ending)).fetchone()
        return count, seq, reason


def read_newest(path: Path) -> dict[str, int | None]:
    """Every stream in the ledger, and its newest frame that has pictures, if any; errors as of ``read_report``."""
    query = """SELECT stream, (SELECT seq FROM frames WHERE frames.stream = streams.stream AND removed_ns IS NULL
        AND edge_files <> '' ORDER BY seq DESC LIMIT 1) FROM streams ORDER BY stream"""
    with _reading(path) as connection:
        return dict(connection.execute(query).fetchall())


def read_rows(path: Path, table: str, order: str) -> Iterator[dict[str, object]]:
    """All columns of ``frames`` or ``streams`` as they stand in the ledger; errors as of ``read_report``."""
    with _reading(path) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}"):  # noqa: S608 - constants
            yield dict(row)


def span_s(path: Path, since_ns: int) -> tuple[float, int]:
    """Seconds from the first capture after ``since_ns`` to the last answer, and how many frames that were."""
    query = """SELECT min(captured_ns), max(captured_ns + 1e6 * coalesce(cloud_ms, edge_ms)), count(*)
        FROM frames WHERE captured_ns >= ?"""
    with _reading(path) as connection:
        first_ns, last_ns, frames = connection.execute(query, (since_ns,)).fetchone()
        return ((last_ns - first_ns) / 1e9 if frames else 0.0), frames


def percentile(milliseconds: npt.NDArray[np.float64], q: float) -> float | None:
    """The ``q``-th percentile (0 to 100, linear interpolation), or None of nothing."""
    return float(np.percentile(milliseconds, q)) if len(milliseconds) else None


def _stream_report(connection: sqlite3.Connection, row: tuple[str, str, int, int, int, int, int, int]) -> StreamReport:
    stream, source, live, read, skipped, dropped, admitted, lost = row
    query = "SELECT ending, count(*) FROM frames WHERE stream = ? AND ending IS NOT NULL GROUP BY ending"
    endings: dict[str, int] = dict(connection.execute(query, (stream,)).fetchall())
    endings["interrupted"] = endings.get("interrupted", 0) + lost
    pending = admitted - sum(endings.values())
    sent = "SELECT count(*), coalesce(sum(upload_bytes), 0) FROM frames WHERE stream = ? AND upload_bytes > 0"
    uploaded, upload_bytes = connection.execute(sent, (stream,)).fetchone()
    pictures = """SELECT coalesce(sum(size_bytes) FILTER (WHERE removed_ns IS NULL), 0), count(removed_ns)
        FROM frames WHERE stream = ?"""
    kept_bytes, removed = connection.execute(pictures, (stream,)).fetchone()
    edge = "SELECT edge_ms FROM frames WHERE stream = ? ORDER BY seq"
    cloud = "SELECT cloud_ms FROM frames WHERE stream = ? AND ending = 'cloud' ORDER BY seq"
    return StreamReport(
        stream=stream,
        source=source,
        live=bool(live),
        tally=Tally(read, skipped, dropped, admitted, **endings, pending=pending),
        uploaded=uploaded,
        upload_bytes=upload_bytes,
        edge_ms=np.array(connection.execute(edge, (stream,)).fetchall(), np.float64).reshape(-1),
        cloud_ms=np.array(connection.execute(cloud, (stream,)).fetchall(), np.float64).reshape(-1),
        kept_bytes=kept_bytes,
        removed=removed,
        gain=gain_of(*(_found(connection, stream, hard=hard) for hard in (True, False))),
        paid=_paid(connection, stream),
    )


def _paid(connection: sqlite3.Connection, stream: str) -> Paid | None:
    row = connection.execute(_PAID, (stream,)).fetchone()
    return Paid(*row) if row[0] else None


def _found(connection: sqlite3.Connection, stream: str, *, hard: bool) -> Found:
    row = connection.execute(_FOUND, (stream, hard)).fetchone()
    return Found(*row)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not is_there(path):
        raise ConfigError(str(path), "there is no ledger; name the folder that a run wrote with --out")
    with translated(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        # Writable, though nothing is written: a reader that may not write leaves SQLite's two side files behind.
        connection.execute("PRAGMA query_only = ON")
        # One transaction, so that the sums of a ledger that is being written belong together.
        connection.execute("BEGIN")
        if is_new(connection):  # its process died as it made it, or there was no room: it is as good as one just made
            with closing(sqlite3.connect(":memory:")) as fresh:
                prepare(path, fresh)
                yield fresh
            return
        check_format(path, connection)
        yield connection
