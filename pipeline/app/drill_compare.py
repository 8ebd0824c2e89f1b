"""What differs between two runs of the same frames: pictures byte by byte, and the ledger but for times and names."""

from __future__ import annotations

import filecmp
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pipeline.app.places import Places
from stages.ledger_report import read_report, read_rows

MAY_DIFFER: Final[Mapping[str, frozenset[str]]] = {
    "frames": frozenset({"captured_ns", "edge_ms", "edge_steps", "cloud_ms", "cloud_steps", "worker", "upload_bytes"}),
    "streams": frozenset({"reader", "uplink", "upload_bytes"}),
}
"""The ledger's columns that hold times, names of processes, and what was sent to workers, by their table."""

_ORDER: Final = {"frames": "stream, seq", "streams": "stream"}


def differences(undisturbed: Places, drilled: Places) -> Iterator[str]:
    """Each difference in words, the unbalanced streams of either run among them.

    Both must have the same streams, and a ledger.

    Raises:
        ConfigError: a ledger is missing or damaged.
    """
    for name, places in (("undisturbed", undisturbed), ("drilled", drilled)):
        for stream, report in read_report(places.ledger).items():
            if not report.tally.balanced or report.tally.pending:
                yield f"ledger {stream}: the {name} run does not balance: {report.tally}"
    for table in MAY_DIFFER:
        yield from _rows_differ(table, undisturbed.ledger, drilled.ledger)
    for stream, folders in undisturbed.pictures.items():
        for one, other in zip(folders, drilled.pictures[stream], strict=True):
            yield from _files_differ(f"{stream} {one.name}", one, other)


def _rows_differ(table: str, undisturbed: Path, drilled: Path) -> Iterator[str]:
    one, other = _rows(table, undisturbed), _rows(table, drilled)
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            yield f"{_words(table, name)}: only in the {'undisturbed' if name in one else 'drilled'} run"
            continue
        for column in one[name]:
            before, after = one[name][column], other[name].get(column)
            if before != after:
                values = f"{reprlib.repr(before)} undisturbed, {reprlib.repr(after)} drilled"
                yield f"{_words(table, name)}: {column} is {values}"


def _rows(table: str, ledger: Path) -> dict[tuple[str, int], dict[str, object]]:
    rows = {}
    for row in read_rows(ledger, table, _ORDER[table]):
        seq = row.get("seq", 0)
        assert isinstance(seq, int)  # noqa: S101 - the table says so
        rows[str(row["stream"]), seq] = {k: value for k, value in row.items() if k not in MAY_DIFFER[table]}
    return rows


def _words(table: str, name: tuple[str, int]) -> str:
    stream, seq = name
    return f"ledger {table} {stream}/{seq}" if seq else f"ledger {table} {stream}"


def _files_differ(what: str, undisturbed: Path, drilled: Path) -> Iterator[str]:
    one, other = _names(undisturbed), _names(drilled)
    for name in sorted(one ^ other):
        yield f"{what}/{name}: only in the {'undisturbed' if name in one else 'drilled'} run"
    for name in sorted(one & other):
        if not filecmp.cmp(undisturbed / name, drilled / name, shallow=False):
            yield f"{what}/{name}: other bytes"


def _names(folder: Path) -> set[str]:
    """Every file, those that were not finished among them."""
    return {path.name for path in folder.iterdir() if path.is_file()} if folder.is_dir() else set()
