"""A folder for the time of a run, which the next run removes where this one was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "tandem-"
_LOCK: Final = "lock"


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder among the system's temporary files, and remove it at the end. Those of dead runs go now."""
    _remove_left()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        # It gets its name when it is locked: nobody ever finds it free while we live. The kernel lets go of it for us.
        unnamed = folder / f".{_LOCK}"
        file = os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            unnamed.rename(folder / _LOCK)
            yield folder
        finally:
            os.close(file)


def _remove_left() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody lives in it, or it is none of ours
            _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    there = folder.lstat()
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.geteuid():
        return
    file = os.open(folder / _LOCK, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
    finally:
        os.close(file)
