"""Begin anew where a stream's outputs were made with another config, as a pod has to whose service was changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import structlog

from pipeline.app.fingerprint import differing
from pipeline.app.places import Places
from pipeline.config import Config
from pipeline.errors import ConfigError
from stages.ledger_report import read_fingerprints
from stages.ledger_schema import OtherFormatError
from stages.lock import OwnerLock, lock_of
from stages.sqlite_outbox import LOCK

log = structlog.get_logger()


def begin_anew(config: Config, now: datetime) -> None:
    """Set all outputs aside, if those of one stream were made with another config, or all by another Tandem.

    They are renamed with the time behind their names, and stay where they are. A stream whose source is not there yet
    is not looked at.

    Args:
        config: of a process with reader and sink.
        now: in UTC.

    Raises:
        ConfigError: the ledger is damaged, a process is using what is to be set aside, or it cannot be renamed.
        StorageError: the ledger cannot be read now.
    """
    places = Places.of(config)
    if not places.ledger.exists():
        return
    changed, reason = _changed(config, places.ledger)
    if changed:
        aside = f".before-{now:%Y%m%dT%H%M%SZ}"
        with _alone(places):
            renamed = [_renamed(path, target) for path, target in _outputs(places, aside) if path.exists()]
        log.warning("begins_anew", streams=changed, reason=reason, set_aside=renamed)


def _changed(config: Config, ledger: Path) -> tuple[list[str], str]:
    """The streams that cannot go on, and why."""
    try:
        before = read_fingerprints(ledger)
    except OtherFormatError as error:
        return list(config.streams), str(error)
    return [stream for stream, _, _ in differing(config, before)], "they were made with another config"


@contextlib.contextmanager
def _alone(places: Places) -> Iterator[None]:
    """While nobody writes the ledger or the outbox: what is renamed under its owner's hands is lost to it."""
    with contextlib.ExitStack() as locks:
        locks.enter_context(OwnerLock(lock_of(places.ledger), places.ledger, "tandem run --anew"))
        if places.outbox.is_dir():
            locks.enter_context(OwnerLock(places.outbox / LOCK, places.outbox, "tandem run --anew"))
        yield


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
