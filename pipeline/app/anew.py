"""Begin anew where a stream's outputs were made with another config, as a pod has to whose service was changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import structlog

from pipeline.app.fingerprint import differing
from pipeline.app.places import Places
from pipeline.config import Config
from pipeline.errors import ConfigError
from stages.ledger_report import read_fingerprints

log = structlog.get_logger()


def begin_anew(config: Config, now: datetime) -> None:
    """Set all outputs aside, if those of one stream were made from another source, model, miner or config.

    They are renamed with the time behind their names, and stay where they are. A stream whose source is not there yet
    is not looked at.

    Args:
        config: of a process with reader and sink.
        now: in UTC.

    Raises:
        ConfigError: the ledger is damaged, or something cannot be renamed.
        StorageError: the ledger cannot be read now.
    """
    places = Places.of(config)
    if not places.ledger.exists():
        return
    changed = [stream for stream, _, _ in differing(config, read_fingerprints(places.ledger))]
    if changed:
        aside = f".before-{now:%Y%m%dT%H%M%SZ}"
        renamed = [_renamed(path, target) for path, target in _outputs(places, aside) if path.exists()]
        log.warning("begins_anew", streams=changed, reason="they were made with another config", set_aside=renamed)


def _outputs(places: Places, aside: str) -> Iterator[tuple[Path, Path]]:
    """What to rename to what: the ledger last, since where it is gone, all is."""
    folders = (folder for of_stream in places.pictures.values() for folder in of_stream)
    yield from ((path, path.with_name(path.name + aside)) for path in (*folders, places.outbox))
    for end in ("-wal", "-shm", ""):  # SQLite finds them by the ledger's name
        yield (
            places.ledger.with_name(places.ledger.name + end),
            places.ledger.with_name(places.ledger.name + aside + end),
        )


def _renamed(path: Path, target: Path) -> str:
    try:
        return str(path.rename(target))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be renamed ({error.strerror}); move it away yourself") from error
