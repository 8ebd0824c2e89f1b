"""Whether the pictures that a ledger knows are in the folders that the config names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from pipeline.app.places import Places
from pipeline.errors import ConfigError
from stages.ledger_report import read_newest, read_seqs
from stages.outputs import OutputFolders

_FIELDS: Final = {"all": "all_examples"}
"""The settings that are not called like their folders."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A folder of a stream in which none of the ledger's pictures is.

    Attributes:
        name: which of the four it is.
        apart: whether it does not lie beside the ledger, so that it may be another one than before.
    """

    stream: str
    name: str
    folder: Path
    ledger: Path
    apart: bool

    def __str__(self) -> str:
        return f"{self.folder} has none of the pictures of stream {self.stream!r} that the ledger {self.ledger} knows"


def lost_pictures(places: Places) -> Iterator[Lost]:
    """The folders without a single one of the pictures that were written to them.

    Raises:
        ConfigError: the ledger is damaged.
        StorageError: it cannot be read now.
    """
    known = read_newest(places.ledger) if places.ledger.exists() else {}
    for stream in known.keys() & places.pictures.keys():
        for name in (field.name for field in fields(OutputFolders)):
            folder: Path = getattr(places.pictures[stream], name)
            if _is_lost(places.ledger, stream, name, folder):
                yield Lost(stream, name, folder, places.ledger, not folder.is_relative_to(places.state))


def check_pictures(places: Places) -> list[Lost]:
    """The folders beside the ledger whose pictures are gone: somebody has removed them.

    Raises:
        ConfigError: a folder elsewhere has none of the ledger's pictures: it may be another one than before, and the
            run would be in two halves.
        StorageError: the ledger cannot be read now.
    """
    lost = sorted(lost_pictures(places), key=str)
    for one in lost:
        if one.apart:
            raise ConfigError(
                f"sink.{_FIELDS.get(one.name, one.name)}",
                f"{one}: name the folder as it was before, others for all outputs (sink.state_dir is the ledger's), or "
                "start over with --fresh",
            )
    return lost


def _is_lost(ledger: Path, stream: str, name: str, folder: Path) -> bool:
    known = False
    for seq in read_seqs(ledger, stream, name):
        known = True
        if (folder / f"{seq}.jpeg").exists():
            return False
    return known
