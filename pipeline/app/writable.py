"""Whether folders can be written, found by trying; nothing is left of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way of writing folders.

    Attributes:
        folders: which ones.
        why: what is wrong, and what to do.
    """

    folders: Sequence[Path]
    why: str

    @property
    def at(self) -> Path:
        """The only one of the folders, or the one that all of them are in."""
        return Path(os.path.commonpath(self.folders))


def obstacles(folders: Iterable[Path]) -> list[Obstacle]:
    """What stands in the way of writing these folders, each once for all that it stops."""
    stopped: dict[tuple[Path, str], list[Path]] = {}
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        if why := _refusal(there):
            stopped.setdefault((there, why), []).append(folder)
    return [
        Obstacle(those, f"{there} is no folder that we may write ({why}): choose another, or make it writable")
        for (there, why), those in stopped.items()
    ]


def _refusal(there: Path) -> str:
    """Why nothing can be made in a folder; only trying tells.

    It is tried under another name than that of what is wanted there: a run that starts meanwhile may make that itself.
    """
    try:
        with tempfile.TemporaryDirectory(dir=there):
            return ""
    except OSError as error:
        return error.strerror or str(error)
