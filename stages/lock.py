"""One owner for what lies on disk: a lock file that says whose it is."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import ConfigError


class OwnerLock:
    """Holds ``path`` for one owner at a time, across processes (flock).

    The kernel lets go of it when the process dies, however it dies. The file carries the owner's name while it is held,
    and is gone after ``close``.
    """

    def __init__(self, path: Path, what: Path, owner: str) -> None:
        """Take the lock for ``owner``, a name for people such as ``tandem edge, process 4711 on host x``.

        Args:
            path: the lock file.
            what: what it protects, for the error's text.
            owner: who takes it.

        Raises:
            ConfigError: somebody else has it, or the file cannot be made or locked.
        """
        self._path = path
        try:
            self._file = _locked(path)
        except BlockingIOError as error:
            name = _owner_of(path)
            raise ConfigError(
                str(what), f"is used by {name}; stop that one, or choose another --out (sink.out)"
            ) from error
        except OSError as error:
            raise ConfigError(
                str(what), f"cannot be locked: {error}; choose another --out (sink.out), on a local disk"
            ) from error
        with contextlib.suppress(OSError):  # on a full disk the lock holds without the name
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, owner.encode(), 0)

    def close(self) -> None:
        """Let go. A second call does nothing."""
        if self._file >= 0:
            with contextlib.suppress(OSError):  # on a disk that became read-only the name stays, and locks nothing
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def lock_of(ledger: Path) -> Path:
    """The lock file of a ledger."""
    return ledger.with_name(ledger.name + ".lock")


def _locked(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _is_still(file: int, path: Path) -> bool:
    # The owner before us removes the file as it leaves: a lock on what has no name any more protects nothing.
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise


def _owner_of(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip() or "another process"
    except OSError:
        return "another process"
