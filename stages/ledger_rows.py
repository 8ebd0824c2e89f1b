"""The rows of the ledger's file, read and written one by one. What they add up to is kept by ``stages.ledger``."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pipeline.messages import Result
from pipeline.model import Ending, FrameId, Verdict
from stages import ledger_statements as sql
from stages.compare import changes
from stages.ledger_account import COLUMNS, Account
from stages.ledger_schema import decode_boxes, decode_budget, encode_boxes, encode_budget, encode_steps, translated
from stages.retention import Old
from stages.sink_stores import Kept, Written

INTERRUPTED: Final = "interrupted"
"""The ending of a live frame that was only in memory when its process died."""


class LedgerRows:
    """Rows in an open file. A transaction begins with the first that is written, and ends with ``commit``.

    What reads or writes raises ``StorageError`` where the disk is full or broken.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use a connection to the ledger ``path``, and close it in the end."""
        self._path = path
        self._connection = connection

    def accounts(self) -> list[Account]:
        """What is kept of each stream."""
        with translated(self._path):
            rows = self._connection.execute(f"SELECT {', '.join(COLUMNS)} FROM streams").fetchall()  # noqa: S608 - constants
        return [Account(*row) for row in rows]

    def kept(self, frame: FrameId) -> Kept | None:
        """What is there of a frame."""
        row = self._row(sql.KEPT, frame)
        if row is None:
            return None
        revision, ending, edge_files, cloud_files, removed_ns = row
        ended = ending not in (None, INTERRUPTED)
        if removed_ns is not None:
            return Kept(revision, final=True, edge_final=ended and revision == 1, edge_files=(), cloud_files=())
        return Kept(revision, ended, ended and revision == 1, _split(edge_files), _split(cloud_files))

    def ending(self, frame: FrameId) -> str | None:
        """How a frame ended, if it is there and has."""
        row = self._row(sql.KEPT, frame)
        return row[1] if row else None

    def newest(self, stream: str) -> int:
        """The highest number of a frame, 0 where there is none."""
        with translated(self._path):
            row = self._connection.execute("SELECT max(seq) FROM frames WHERE stream = ?", (stream,)).fetchone()
        return row[0] or 0

    def unended(self, stream: str) -> list[int]:
        """The numbers of frames that the cloud may still answer."""
        with translated(self._path):
            return [seq for (seq,) in self._connection.execute(sql.OPEN, (stream,))]

    def final(self, stream: str) -> tuple[tuple[int, int], ...]:
        """Ranges that hold no admitted frame but final ones: their places among the admitted have no gap."""
        query = "SELECT seq, ordinal FROM frames WHERE stream = ? AND ending IS NOT NULL ORDER BY seq"
        ranges: list[tuple[int, int]] = []
        before = -1
        with translated(self._path):
            for seq, ordinal in self._connection.execute(query, (stream,)):
                if ordinal == before + 1:
                    ranges[-1] = (ranges[-1][0], seq)
                else:
                    ranges.append((seq, seq))
                before = ordinal
        return tuple(ranges)

    def recalled(self, stream: str) -> Sequence[tuple[int, Verdict]]:
        """Verdicts on the newest frames, and on those that have no end, with what was remembered after each."""
        with translated(self._path):
            rows = self._connection.execute(sql.RECALLED, (stream,) * 3).fetchall()
        return [
            (
                seq,
                Verdict(
                    bool(hard),
                    miner,
                    score,
                    threshold,
                    reason,
                    bool(audited),
                    twin,
                    decode_budget(budget),
                    memory or "",
                ),
            )
            for seq, hard, miner, score, threshold, reason, audited, twin, budget, memory in rows
        ]

    def oldest(self, streams: Sequence[str], limit: int) -> Sequence[Old]:
        """Frames that have ended and whose pictures are there, the oldest first."""
        with translated(self._path):
            rows = self._connection.execute(sql.OLDEST, (json.dumps(streams), limit)).fetchall()
        return [
            Old(FrameId(stream, seq), captured_ns, tuple(dict.fromkeys(_split(edge_files) + _split(cloud_files))))
            for stream, seq, captured_ns, edge_files, cloud_files in rows
        ]

    def compared(self, result: Result) -> tuple[bool, int | None, int | None]:
        """Whether a frame is hard, and how many boxes came and went by the cloud's answer, where the edge had one."""
        row = self._row(sql.JUDGED, result.id)
        assert row is not None  # noqa: S101 - what has ended was added
        if not row[2]:
            return bool(row[0]), None, None  # mined first: there is nothing to compare with
        came, went = changes(decode_boxes(row[1]), result.detections)
        return bool(row[0]), len(came), len(went)

    def add(self, result: Result, ordinal: int, written: Written) -> None:
        """Keep revision 1 of a frame, the ``ordinal``-th that was admitted, and what was remembered after it."""
        verdict = result.verdict
        self._write(
            sql.ADD,
            (
                *(result.id.stream, result.id.seq, ordinal, 1, result.ending, result.reason),
                *(verdict.hard, verdict.miner, verdict.score, verdict.threshold, verdict.reason, verdict.audited),
                *(result.captured_ns, result.media_s, result.width, result.height),
                *(result.edge_model, encode_boxes(result.detections), result.latency_ms),
                *(encode_steps(result.steps_ms), ",".join(written.files), result.upload_bytes, written.size_bytes),
                *(verdict.duplicate_of, encode_budget(verdict.budget)),
            ),
        )
        if verdict.memory:
            self._write(sql.REMEMBER, (result.id.stream, result.id.seq, verdict.memory))
            self._write(sql.FORGET, (result.id.stream, result.id.stream))

    def end(self, result: Result, written: Written, came: int | None, went: int | None) -> None:
        """Keep revision 2 of a frame, and how many boxes came and went by it."""
        boxes = encode_boxes(result.detections) if result.ending is Ending.CLOUD else None
        self._write(
            sql.END,
            (
                *(result.ending, result.reason, result.cloud_model, result.worker, boxes, came, went),
                *(result.latency_ms, encode_steps(result.steps_ms), ",".join(written.files), result.upload_bytes),
                *(written.size_bytes, result.id.stream, result.id.seq),
            ),
        )

    def interrupt(self, frame: FrameId, reason: str) -> None:
        """End a frame that nobody has any more."""
        self._write(sql.INTERRUPT, (INTERRUPTED, reason, frame.stream, frame.seq))

    def remove(self, frame: FrameId, at_ns: int) -> int:
        """Say that the pictures of a frame are gone; how many bytes they had."""
        ((size_bytes,),) = self._write(sql.REMOVED, (at_ns, frame.stream, frame.seq))
        return size_bytes

    def put(self, account: Account) -> None:
        """Keep what is counted of a stream."""
        self._write(sql.PUT_ACCOUNT, account)

    def commit(self) -> None:
        """What was written stays, whatever happens."""
        with translated(self._path):
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """What was written since the last ``commit`` was not."""
        with contextlib.suppress(sqlite3.Error):  # what a broken disk undid by itself cannot be undone again
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _row(self, statement: str, frame: FrameId) -> tuple[Any, ...] | None:
        with translated(self._path):
            row: tuple[Any, ...] | None = self._connection.execute(statement, (frame.stream, frame.seq)).fetchone()
        return row

    def _write(self, statement: str, values: tuple[object, ...]) -> list[tuple[int]]:
        with translated(self._path):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            rows: list[tuple[int]] = self._connection.execute(statement, values).fetchall()
        return rows


def _split(files: str | None) -> tuple[str, ...]:
    return tuple(files.split(",")) if files else ()
