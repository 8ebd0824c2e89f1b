"""The folders of the outputs: made and tried at the start, and looked for when one is gone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError, StorageError
from stages.whole_files import FULL, storage_error

PART: Final = re.compile(r"\.(?:[1-9]\d*\.(?:jpeg|txt)|classes\.txt|probe)\.part")
"""The names of files that are being written."""


class Folders:
    """Folders that could be written at the start.

    One that somebody removes is made again, on the disk that it was on. Where that disk was unmounted nothing is made:
    what is found in its place then is another disk.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        """Make them, remove what a process that was killed left half-written, and try to write.

        Raises:
            ConfigError: a folder cannot be made or written.
            StorageError: there is no room for it.
        """
        self._disks = {folder: _disk_of(folder) for folder in folders}

    def restore(self, folder: Path) -> None:
        """See that ``folder`` is where it was, made again if need be.

        Raises:
            StorageError: it is gone with its disk, or cannot be made.
        """
        try:
            if not folder.is_dir() and folder.parent.stat().st_dev == self._disks[folder]:
                folder.mkdir(exist_ok=True)
            there = folder.stat().st_dev == self._disks[folder]
        except OSError as error:
            raise storage_error(folder, error) from error
        if not there:
            raise StorageError(f"{folder} lies on another disk than it did: mount its disk again, or start again")


def _disk_of(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if PART.fullmatch(path.name):
                path.unlink(missing_ok=True)
        _probe(folder / ".probe.part")
        return folder.stat().st_dev
    except OSError as error:
        if error.errno in FULL:
            raise storage_error(folder, error) from error
        raise ConfigError(
            str(folder), f"cannot be written: {error}; choose another folder, or make it writable"
        ) from error


def _probe(path: Path) -> None:
    try:
        path.write_bytes(b"x")
    finally:
        path.unlink(missing_ok=True)
