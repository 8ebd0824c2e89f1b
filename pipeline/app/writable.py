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
        if why := _refusal(folder, there):
            stopped.setdefault((there, why), []).append(folder)
    return [
        Obstacle(those, f"{there} is no folder that we may write ({why}): choose another, or make it writable")
        for (there, why), those in stopped.items()
    ]


def _refusal(folder: Path, there: Path) -> str:
    """Why ``folder`` cannot be made in ``there``, or written where it is there; only trying tells."""
    try:
        if folder == there:
            with tempfile.TemporaryFile(dir=folder):
                return ""
        made = there / folder.relative_to(there).parts[0]
        made.mkdir()
        made.rmdir()
    except OSError as error:
        return error.strerror or str(error)
    return ""
