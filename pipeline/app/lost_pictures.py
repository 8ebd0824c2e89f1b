"""Whether the pictures that a ledger knows are in the folders that the config names."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from pipeline.app.places import Places
from pipeline.config import SinkConfig
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


def check_pictures(sink: SinkConfig, places: Places, option: str = "--out") -> list[Lost]:
    """The folders beside the ledger whose pictures are gone: somebody has removed them.

    Args:
        sink: what the places were made from.
        places: of the run.
        option: the option that says where the outputs go.

    Raises:
        ConfigError: a folder elsewhere has none of the ledger's pictures: it may be another one than before, and the
            run would be in two halves.
        StorageError: the ledger cannot be read now.
    """
    lost = sorted(lost_pictures(places), key=str)
    for one in lost:
        if one.apart:
            raise ConfigError(
                _named(sink, one.name, option),
                f"{one}: name the folder as it was before, give this run a sink.state_dir of its own, or start over "
                "with --fresh, which removes that ledger",
            )
    return lost


def check_others(places: Places, own: Container[str], out: Path) -> None:
    """See that the ledger, which is to be removed, is of no other run that shares its folder.

    Args:
        places: of all streams in the ledger, where this run would have them.
        own: the streams of this run.
        out: where its outputs go. Where its ledger lies elsewhere, other runs may have theirs beside that ledger too.

    Raises:
        ConfigError: streams that are not ``own`` have their pictures elsewhere.
        StorageError: the ledger cannot be read now.
    """
    shared = places.state != out
    foreign = (lost for lost in lost_pictures(places) if lost.stream not in own)
    others = sorted({lost.stream for lost in foreign if lost.apart or shared})
    if others:
        raise ConfigError(
            "--fresh",
            f"the ledger {places.ledger} has streams of other runs too, whose pictures are not in the folders of this "
            f"one ({', '.join(others)}), and would be lost to them: give this run a sink.state_dir of its own, or "
            "remove that ledger yourself if nobody needs it",
        )


def _named(sink: SinkConfig, folder: str, option: str) -> str:
    """What the user set that puts ``folder`` where it is."""
    field = _FIELDS.get(folder, folder)
    return f"sink.{field}" if getattr(sink, field, None) else option


def _is_lost(ledger: Path, stream: str, name: str, folder: Path) -> bool:
    known = False
    for seq in read_seqs(ledger, stream, name):
        known = True
        if (folder / f"{seq}.jpeg").exists():
            return False
    return known
