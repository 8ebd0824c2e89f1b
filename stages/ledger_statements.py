"""What the ledger asks of SQLite."""

from __future__ import annotations

from typing import Final

from stages.ledger_account import COLUMNS

PUT_ACCOUNT: Final = (
    f"INSERT INTO streams ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "  # noqa: S608 - constants
    f"ON CONFLICT (stream) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS[1:])}"
)
ADD: Final = f"""INSERT INTO frames (
    stream, seq, ordinal, revision, ending, reason, hard, miner, score, threshold, verdict, audited,
    captured_ns, media_s, width, height, edge_model, edge_boxes, edge_ms, edge_steps, edge_files,
    upload_bytes, size_bytes, duplicate_of, budget
) VALUES ({", ".join("?" * 25)})"""  # noqa: S608 - placeholders
REMEMBER: Final = "INSERT INTO memories VALUES (?, ?, ?)"
FORGET: Final = """DELETE FROM memories WHERE stream = ? AND seq <
    (SELECT seq FROM memories WHERE stream = ? ORDER BY seq DESC LIMIT 1 OFFSET 63)"""
RECALLED: Final = """SELECT seq, hard, miner, score, threshold, verdict, audited, duplicate_of, budget, memory
    FROM frames LEFT JOIN memories USING (stream, seq) WHERE stream = ? AND seq IN
    (SELECT seq FROM frames WHERE stream = ? AND ending IS NULL UNION SELECT seq FROM memories WHERE stream = ?)
    ORDER BY seq"""
"""Named one by one, since all of a camera's frames would be looked through otherwise."""

END: Final = """UPDATE frames SET revision = 2, ending = ?, reason = ?, cloud_model = ?, worker = ?, cloud_boxes = ?,
    came = ?, went = ?,
    cloud_ms = ?, cloud_steps = ?, cloud_files = ?, upload_bytes = ?, size_bytes = size_bytes + ?
    WHERE stream = ? AND seq = ?"""
JUDGED: Final = "SELECT hard, edge_boxes, edge_model FROM frames WHERE stream = ? AND seq = ?"
KEPT: Final = "SELECT revision, ending, edge_files, cloud_files, removed_ns FROM frames WHERE stream = ? AND seq = ?"
OPEN: Final = "SELECT seq FROM frames WHERE stream = ? AND ending IS NULL ORDER BY seq"
OLDEST: Final = """SELECT stream, seq, captured_ns, edge_files, cloud_files FROM frames INDEXED BY frames_kept
    WHERE ending IS NOT NULL AND removed_ns IS NULL AND size_bytes > 0 AND stream IN (SELECT value FROM json_each(?))
    ORDER BY captured_ns, seq LIMIT ?"""
REMOVED: Final = "UPDATE frames SET removed_ns = ? WHERE stream = ? AND seq = ? RETURNING size_bytes"
INTERRUPT: Final = "UPDATE frames SET ending = ?, reason = ? WHERE stream = ? AND seq = ?"
