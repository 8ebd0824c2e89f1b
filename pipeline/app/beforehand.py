"""What is looked at before a replay starts, so that nothing that is wrong is found late."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.app.parts import miner_of, sampling
from pipeline.app.places import Places
from pipeline.config import Config
from pipeline.errors import ConfigError, SourceError, together
from stages.models import check_model_file, model_path
from stages.sources.address import SourceKind, parse_source
from stages.sources.factory import check_source, make_source


def checked(config: Config) -> dict[str, int | None]:
    """Look at miner, models and sources before anything starts; returns each source's frames, where they are known.

    Raises:
        ConfigError: it says all that is wrong with them.
    """
    wrong: list[ConfigError] = []
    lengths: dict[str, int | None] = {}
    with _noted(wrong):
        miner_of(config)
    for section, model in (("detector", config.detector), ("cloud", config.cloud)):
        with _noted(wrong):
            check_model_file(section, model_path(model.model))
    for stream in config.streams:
        with _noted(wrong):
            lengths[stream] = _length(config, stream)
    if wrong:
        raise together(wrong)
    return lengths


@contextlib.contextmanager
def _noted(wrong: list[ConfigError]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        wrong.append(error)


def _length(config: Config, stream: str) -> int | None:
    settings, field = config.streams[stream], f"streams.{stream}.source"
    source = make_source(parse_source(settings.source, field), sampling(config, settings))
    try:
        return check_source(source)
    except SourceError as error:
        raise ConfigError(field, str(error)) from error


def check_report(path: Path, needed: Iterable[Path] = (), *, option: str = "--report") -> None:
    """See now that what ``option`` names can be written at the end, and is none of the files ``needed`` besides.

    Raises:
        ConfigError: it is not so.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        wrong = _unwritable(path, needed)
    except OSError as error:
        wrong = error.strerror or str(error)
    if wrong:
        raise ConfigError(option, f"{path} cannot be written ({wrong}): name another file")


def _unwritable(path: Path, needed: Iterable[Path]) -> str:
    """What speaks against it, if anything; whether something can be written, only trying tells."""
    if path.is_dir():
        return "it is a folder"
    if any(path.exists() and file.exists() and path.samefile(file) for file in needed):
        return "the replay needs this file"
    if path.exists():
        if path.is_file():
            path.open("ab").close()
        return ""  # a terminal, or a pipe
    with tempfile.TemporaryFile(dir=path.parent):
        return ""


def needed(config: Config, places: Places) -> Iterator[Path]:
    """The files that a replay reads, and its ledger."""
    yield places.ledger
    yield from (model_path(model.model) for model in (config.detector, config.cloud))
    for settings in config.streams.values():
        address = parse_source(settings.source)
        if address.kind is SourceKind.LOCAL:
            yield Path(address.location)
