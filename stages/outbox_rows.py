"""The outbox's format on disk: an SQLite table with a row for each hard example.

``waiting``:
    place: in the order in which they came; stream, seq;
    boot, boot_s, wall_s: when it was captured (see ``stages.host_clock``);
    size_bytes: of its picture, which lies beside the database as ``{stream}.{seq}.jpeg``;
    hardness; tries; stored (0 or 1: the sink has revision 1); uploaded_bytes: to workers;
    counts: the reader's, and revision_1, as msgpack; ending and revision_2 (msgpack): NULL until it is decided.

``frames`` is a view of it for people, without what only programs read. For example, what waits for the cloud, the
hardest first::

    SELECT * FROM frames WHERE ending IS NULL ORDER BY hardness DESC;
"""

from __future__ import annotations

import sqlite3
from dataclasses import astuple
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np

from pipeline.errors import ConfigError
from pipeline.messages import Result, Store
from pipeline.model import BudgetState, Counts, Detections, Ending, FrameId, Verdict
from stages.host_clock import Moment
from stages.outbox import Waiting

FORMAT: Final = 3
"""The outbox's format, in SQLite's ``user_version``."""

APPLICATION_ID: Final = 0x544E4F42
"""``TNOB``, in SQLite's ``application_id``."""

_TABLES: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE waiting (
    place INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL,
    boot TEXT NOT NULL, boot_s REAL NOT NULL, wall_s REAL NOT NULL,
    size_bytes INTEGER NOT NULL, hardness REAL NOT NULL, tries INTEGER NOT NULL, stored INTEGER NOT NULL,
    uploaded_bytes INTEGER NOT NULL,
    counts BLOB NOT NULL, revision_1 BLOB NOT NULL, ending TEXT, revision_2 BLOB
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
COMMIT;
"""

_VIEW: Final = """
CREATE VIEW IF NOT EXISTS frames AS SELECT
    stream, seq, datetime(wall_s, 'unixepoch') AS captured, hardness, tries, stored, size_bytes, uploaded_bytes, ending
FROM waiting ORDER BY place
"""
"""An outbox of this format that an earlier Tandem made gets it too."""

INSERT: Final = f"INSERT INTO waiting VALUES ({', '.join('?' * 15)})"  # noqa: S608 - placeholders
UPDATE: Final = (
    "UPDATE waiting SET tries = ?, stored = ?, uploaded_bytes = ?, ending = ?, revision_2 = ? WHERE place = ?"
)
DELETE: Final = "DELETE FROM waiting WHERE place = ?"
SELECT: Final = "SELECT * FROM waiting ORDER BY place"
SELECT_PLACES: Final = "SELECT place, stream, seq, ending IS NULL OR NOT stored FROM waiting"


def prepare(path: Path, connection: sqlite3.Connection) -> None:
    """Make table and view in a new database, or check that this one is ours.

    Raises:
        ConfigError: another program wrote it, or another Tandem.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version == 0 and tables == 0:
        connection.executescript(_TABLES)
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID or version != FORMAT:
        raise ConfigError(
            str(path),
            f"is no outbox of format {FORMAT}, which this Tandem knows: use the Tandem that wrote it, "
            "choose another --out (sink.out), or start with --fresh",
        )
    connection.execute(_VIEW)


def inserted(place: int, waiting: Waiting, born: Moment) -> tuple[object, ...]:
    """The values of a new row."""
    counts = waiting.store.counts
    return (
        *(place, waiting.id.stream, waiting.id.seq, born.boot, born.boot_s, born.wall_s),
        *(waiting.size_bytes, waiting.hardness, waiting.tries, waiting.stored, waiting.uploaded_bytes),
        msgpack.packb((counts.read, counts.skipped, counts.dropped, counts.admitted)),
        _packed(waiting.store.result),
        *_decided(waiting),
    )


def updated(place: int, waiting: Waiting) -> tuple[object, ...]:
    """The values that change in a row."""
    return (waiting.tries, waiting.stored, waiting.uploaded_bytes, *_decided(waiting), place)


def recovered(row: tuple[Any, ...], now: Moment, now_s: float) -> Waiting:
    """The example of a row, without its picture; its age counts back from ``now``, ``now_s`` on the monotonic clock."""
    _, stream, seq, boot, boot_s, wall_s, size_bytes, _, tries, stored, uploaded_bytes, counts, first, _, second = row
    frame = FrameId(stream, seq)
    store = Store(_unpacked(frame, first), None, Counts(*msgpack.unpackb(counts)))
    born_s = now_s - now.since(Moment(boot, boot_s, wall_s))
    decided = _unpacked(frame, second) if second else None
    return Waiting(store, size_bytes, born_s, tries, bool(stored), decided, uploaded_bytes)


def _decided(waiting: Waiting) -> tuple[str | None, bytes | None]:
    decided = waiting.decided
    return (decided.ending, _packed(decided)) if decided else (None, None)


def _packed(result: Result) -> bytes:
    seen, verdict = result.detections, result.verdict
    packed: bytes = msgpack.packb(
        {
            "revision": result.revision,
            "ending": result.ending,
            "reason": result.reason,
            "source": result.source,
            "captured_ns": result.captured_ns,
            "media_s": result.media_s,
            "width": result.width,
            "height": result.height,
            "boxes": seen.boxes.astype("<f4").tobytes(),
            "scores": seen.scores.astype("<f4").tobytes(),
            "labels": seen.labels.astype("<i4").tobytes(),
            "names": seen.names,
            "verdict": (
                *(verdict.hard, verdict.miner, verdict.score, verdict.threshold, verdict.reason, verdict.audited),
                *(verdict.duplicate_of, verdict.budget and astuple(verdict.budget)),
            ),
            "edge_model": result.edge_model,
            "cloud_model": result.cloud_model,
            "worker": result.worker,
            "latency_ms": result.latency_ms,
            "upload_bytes": result.upload_bytes,
            "steps_ms": dict(result.steps_ms),
        }
    )
    return packed


def _unpacked(frame: FrameId, packed: bytes) -> Result:
    fields = msgpack.unpackb(packed)
    boxes, scores, labels = (fields.pop(name) for name in ("boxes", "scores", "labels"))
    detections = Detections(
        np.frombuffer(boxes, "<f4").reshape(-1, 4).astype(np.float32),
        np.frombuffer(scores, "<f4").astype(np.float32),
        np.frombuffer(labels, "<i4").astype(np.int32),
        tuple(fields.pop("names")),
    )
    hard, miner, score, threshold, reason, audited, twin, budget = fields.pop("verdict")
    verdict = Verdict(hard, miner, score, threshold, reason, audited, twin, BudgetState(*budget) if budget else None)
    ending = fields.pop("ending")
    return Result(id=frame, detections=detections, verdict=verdict, ending=ending and Ending(ending), **fields)
