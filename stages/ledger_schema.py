"""The ledger's format on disk: SQLite tables that a person can query with ``sqlite3 ledger.sqlite``.

``streams``, one row a stream: what made it, its reader's counts, and how its frames ended.
    stream, fingerprint (see ``stages.fingerprint``), source, live (0 or 1); reader and uplink: the incarnations last
    heard (no reader once it has stopped in good order);
    read, skipped, dropped, admitted; easy, cloud, expired, failed, interrupted (``lost`` of these have no row in
    ``frames``); last_seq: the last number that an earlier reader of a live stream may have used; found: how many
    admitted frames of earlier ones the counts of this one lack; ahead: what makes a number of the frames that it has
    read, since numbers that may have been used are left out; upload_bytes;
    hard_frames, easy_frames: what the miner has judged; hard_answered, easy_answered: what of it the cloud has seen;
    *_missed, *_corrected: in how many of these it saw what the edge did not, or changed anything;
    kept_bytes: what its pictures take; removed: of how many frames they were removed (``sink.keep``).

``tally``, a view: the counts of ``streams``, and ``pending``.

``frames``, one row a frame that was stored:
    stream, seq; ordinal: its place among the admitted frames, from 1;
    revision (1 or 2, the last stored); ending (easy, cloud, expired, failed, interrupted; NULL while the cloud may
    answer); reason: why it ended so;
    hard (0 or 1), miner, score, threshold, verdict (in words); audited (0 or 1: easy, and sent all the same);
    came, went: how many boxes the cloud added and removed; NULL unless it answered, and the edge's model had looked;
    captured_ns (since the epoch), media_s (in the source), width, height (pixels);
    edge_model (empty where it has not looked), edge_boxes, edge_ms (capture to decision), edge_steps (milliseconds,
    JSON), edge_files: revision 1;
    cloud_model, worker, cloud_boxes, cloud_ms, cloud_steps, cloud_files, upload_bytes: revision 2.
    size_bytes: what its pictures took, in blocks of 4 KiB; removed_ns: when they were removed (since the epoch), or
    NULL while they are there.
    duplicate_of: the frame that was sent in place of this one; budget: what the budget had left, as JSON.
    Boxes are the reported detections as JSON, ``[{"class": "helmet", "score": 0.91, "box": [x1, y1, x2, y2]}]`` in
    source pixels; cloud_boxes is NULL unless the cloud answered. Files are names of folders, comma-separated.

``memories``: what a miner that judges over time remembered after each of the newest 64 frames of a stream.

For example, the frames that the cloud corrected most slowly::

    SELECT stream, seq, cloud_ms, verdict FROM frames WHERE ending = 'cloud' ORDER BY cloud_ms DESC LIMIT 10;
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.errors import ConfigError, StorageError
from pipeline.model import BudgetState, Detections

FORMAT: Final = 4
"""The ledger's format, in SQLite's ``user_version``."""

_APPLICATION_ID: Final = 0x544E444D
"""``TNDM``, in SQLite's ``application_id``."""

_as_json: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""Made once: ``json.dumps`` makes an encoder at each call that is not of its plain kind."""

_TABLES: Final = """
BEGIN IMMEDIATE;
CREATE TABLE streams (
    stream TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, source TEXT NOT NULL, live INTEGER NOT NULL,
    reader TEXT NOT NULL, uplink TEXT NOT NULL,
    read INTEGER NOT NULL, skipped INTEGER NOT NULL, dropped INTEGER NOT NULL, admitted INTEGER NOT NULL,
    easy INTEGER NOT NULL, cloud INTEGER NOT NULL, expired INTEGER NOT NULL, failed INTEGER NOT NULL,
    interrupted INTEGER NOT NULL, lost INTEGER NOT NULL, last_seq INTEGER NOT NULL, ahead INTEGER NOT NULL,
    found INTEGER NOT NULL, upload_bytes INTEGER NOT NULL,
    kept_bytes INTEGER NOT NULL, removed INTEGER NOT NULL,
    hard_frames INTEGER NOT NULL, hard_answered INTEGER NOT NULL,
    hard_missed INTEGER NOT NULL, hard_corrected INTEGER NOT NULL,
    easy_frames INTEGER NOT NULL, easy_answered INTEGER NOT NULL,
    easy_missed INTEGER NOT NULL, easy_corrected INTEGER NOT NULL
);
CREATE TABLE frames (
    stream TEXT NOT NULL, seq INTEGER NOT NULL, ordinal INTEGER NOT NULL,
    revision INTEGER NOT NULL, ending TEXT, reason TEXT NOT NULL,
    hard INTEGER NOT NULL, miner TEXT NOT NULL, score REAL, threshold REAL, verdict TEXT NOT NULL,
    audited INTEGER NOT NULL, came INTEGER, went INTEGER,
    captured_ns INTEGER NOT NULL, media_s REAL NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    edge_model TEXT NOT NULL, edge_boxes TEXT NOT NULL, edge_ms REAL NOT NULL, edge_steps TEXT NOT NULL,
    edge_files TEXT NOT NULL,
    cloud_model TEXT, worker TEXT, cloud_boxes TEXT, cloud_ms REAL, cloud_steps TEXT, cloud_files TEXT,
    upload_bytes INTEGER NOT NULL, size_bytes INTEGER NOT NULL, removed_ns INTEGER,
    duplicate_of INTEGER, budget TEXT,
    PRIMARY KEY (stream, seq)
);
CREATE TABLE memories (
    stream TEXT NOT NULL, seq INTEGER NOT NULL, memory TEXT NOT NULL, PRIMARY KEY (stream, seq)
);
CREATE INDEX frames_open ON frames (stream, seq) WHERE ending IS NULL;
CREATE INDEX frames_kept ON frames (captured_ns, seq)
    WHERE ending IS NOT NULL AND removed_ns IS NULL AND size_bytes > 0;
CREATE VIEW tally AS SELECT stream, read, skipped, dropped, admitted, easy, cloud, expired, failed, interrupted,
    admitted - easy - cloud - expired - failed - interrupted AS pending FROM streams;
PRAGMA application_id = 0x544E444D;
PRAGMA user_version = 4;
COMMIT;
"""


class OtherFormatError(ConfigError):
    """Another Tandem wrote the ledger."""


_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
    }
)


@contextmanager
def translated(path: Path, what: str = "ledger") -> Iterator[None]:
    """Turn SQLite's errors into ours; ``what`` the file is, for people.

    Raises:
        StorageError: the disk is full, read-only or broken, or somebody else is writing.
        ConfigError: the file is damaged, or is no database.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _PASSING:
            raise StorageError(f"{path} cannot be written: {error}; make room on its disk, writable for us") from error
        if code in _DAMAGED:
            raise ConfigError(
                str(path),
                f"is no readable {what}: {error}; put it right, choose another --out (sink.out), or start with --fresh",
            ) from error
        raise


def prepare(path: Path, connection: sqlite3.Connection) -> None:
    """Make the tables in a new database, or check that this one is ours.

    Raises:
        ConfigError: another program wrote it, or another Tandem.
    """
    if is_new(connection):
        connection.executescript(_TABLES)
    else:
        check_format(path, connection)


def is_new(connection: sqlite3.Connection) -> bool:
    """Whether a database has nothing in it: it was just made, or its process died as it made it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return bool(version == 0 and tables == 0)


def check_format(path: Path, connection: sqlite3.Connection) -> None:
    """Check that a database is a ledger as this Tandem writes it.

    Raises:
        OtherFormatError: another Tandem wrote it.
        ConfigError: another program did.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != _APPLICATION_ID:
        raise ConfigError(str(path), "is the database of another program; choose another --out (sink.out)")
    if version != FORMAT:
        raise OtherFormatError(
            str(path),
            f"has format {version}, but this Tandem knows {FORMAT}: use the Tandem that wrote it, "
            "choose another --out (sink.out), or start with --fresh",
        )


def encode_boxes(detections: Detections) -> str:
    """Detections as JSON: 2 decimals of a pixel, 4 of a score."""
    columns = zip(detections.labels.tolist(), detections.scores.tolist(), detections.boxes.tolist(), strict=True)
    return _as_json(
        [
            {"class": detections.names[label], "score": round(score, 4), "box": [round(edge, 2) for edge in box]}
            for label, score, box in columns
        ]
    )


def decode_boxes(text: str) -> Detections:
    """What ``encode_boxes`` wrote. The class names are those that occur, sorted, and the labels count among them."""
    rows = json.loads(text)
    names = tuple(sorted({row["class"] for row in rows}))
    return Detections(
        np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
        np.array([row["score"] for row in rows], np.float32),
        np.array([names.index(row["class"]) for row in rows], np.int32),
        names,
    )


def encode_budget(budget: BudgetState | None) -> str | None:
    """A budget's state as JSON, NULL where there is none."""
    return _as_json(asdict(budget)) if budget else None


def decode_budget(text: str | None) -> BudgetState | None:
    """What ``encode_budget`` wrote."""
    return BudgetState(**json.loads(text)) if text else None


def encode_steps(steps_ms: Mapping[str, float]) -> str:
    """Milliseconds by step as JSON."""
    return _as_json({name: round(value, 3) for name, value in steps_ms.items()})
