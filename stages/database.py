"""Opening the databases of ledger and outbox."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError, StorageError
from stages.ledger_schema import translated

_NO_ROOM: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CANTOPEN}
)
_LEAST_BYTES: Final = 1 << 18
"""With less than this a database cannot be opened: its shared memory and its first pages."""

_BUSY_S: Final = 1.0


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def connect(path: Path, what: str, prepare: Callable[[Path, sqlite3.Connection], None]) -> sqlite3.Connection:
    """Open or make the database ``path``: WAL, synchronous=FULL, a transaction where one is asked for.

    Args:
        path: its file.
        what: it is, for people.
        prepare: makes its tables, or checks that they are ours.

    Raises:
        ConfigError: it cannot be opened, is damaged, or of another format.
        StorageError: there is no room for it.
    """
    try:
        with translated(path, what):
            connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        with _closed_on_error(connection), translated(path, what):
            prepare(path, connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
    except StorageError as error:
        if isinstance(error.__cause__, sqlite3.Error) and _is_full(path, error.__cause__):
            raise
        raise ConfigError(str(path), f"cannot be opened: {error}; or choose another --out (sink.out)") from error
    return connection


def _is_full(path: Path, error: sqlite3.Error) -> bool:
    """Whether there is no room; SQLite has words of its own for it, and an I/O error for its shared memory."""
    return error.sqlite_errorcode in _NO_ROOM and shutil.disk_usage(path.parent).free < _LEAST_BYTES
