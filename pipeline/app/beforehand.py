"""What is looked at before a replay starts, so that nothing that is wrong is found late."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from pipeline.app.classes import remarks
from pipeline.app.fingerprint import differing
from pipeline.app.parts import miner_of, sampling
from pipeline.app.places import Places
from pipeline.config import Config, ModelConfig
from pipeline.errors import ConfigError, SourceError, StorageError, together
from stages.fingerprint import refusal
from stages.ledger_report import read_fingerprints
from stages.models import SHIPPED, check_model_file, model_path
from stages.sources.address import SourceKind, parse_source
from stages.sources.factory import check_source, make_source
from stages.whole_files import FULL

_AS_SHIPPED: Final = {name: ModelConfig.model_fields[name].default for name in ("input_shape", "classes", "providers")}

_LEAST_BYTES: Final = 1 << 16
"""An empty ledger takes more."""


@dataclass(frozen=True, slots=True)
class Beforehand:
    """What is known of a replay before it starts.

    Attributes:
        lengths: each source's frames, where they are known.
        notes: what people should know of it, a line each.
    """

    lengths: Mapping[str, int | None]
    notes: tuple[str, ...]

    def tell(self, console: Console) -> None:
        """Print the notes."""
        for note in self.notes:
            console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)


def checked(config: Config) -> Beforehand:
    """Look at miner, models and sources before anything starts.

    Raises:
        ConfigError: it says all that is wrong with them.
    """
    wrong: list[ConfigError] = []
    lengths: dict[str, int | None] = {}
    models = {"detector": config.detector, "cloud": config.cloud}
    # The shipped ones fit each other, and nothing can be wrong with them: they are not loaded for nothing.
    as_shipped = all(map(_as_shipped, models.values()))
    names: dict[str, tuple[str, ...]] = {}
    with _noted(wrong):
        miner_of(config)
    for section, model in models.items():
        with _noted(wrong):
            names[section] = _names(section, model, as_shipped=as_shipped)
    for stream in config.streams:
        with _noted(wrong):
            lengths[stream] = _length(config, stream)
    if wrong:
        raise together(wrong)
    notes = () if as_shipped else remarks(config, names)
    return Beforehand(lengths, tuple(notes))


def _as_shipped(model: ModelConfig) -> bool:
    return model.model in SHIPPED and model.model_copy(update=_AS_SHIPPED) == model


def _names(section: str, model: ModelConfig, *, as_shipped: bool) -> tuple[str, ...]:
    check_model_file(section, model_path(model.model))
    if as_shipped:
        return ()
    from pipeline.app.detectors import check_detector

    return check_detector(section, model)


@contextlib.contextmanager
def _noted(wrong: list[ConfigError]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        wrong.append(error)


def check_goes_on(config: Config, places: Places, option: str = "--out") -> None:
    """See now that the ledger goes on with these streams, where there is one already; ``option`` says where it is.

    Raises:
        ConfigError: it was made with other settings, which are named, or is damaged.
        StorageError: it cannot be read now.
    """
    if not places.ledger.exists():
        return
    for stream, then, now in differing(config, read_fingerprints(places.ledger)):
        named = option
        if option == "--out":
            named = "--out (sink.out)" if places.state == config.sink.out else "sink.state_dir"
        raise ConfigError(named.partition(" ")[0], refusal(places.ledger, stream, then, now, option=named))


def _length(config: Config, stream: str) -> int | None:
    settings, field = config.streams[stream], f"streams.{stream}.source"
    source = make_source(parse_source(settings.source, field), sampling(config, settings))
    try:
        return check_source(source)
    except SourceError as error:
        raise ConfigError(field, str(error)) from error


def make_logs(places: Places, folder: str = "--out") -> None:
    """Make the folder of the logs, and see that there is room: without any, no process can say what it lacks.

    Args:
        places: of the run.
        folder: the option that says where the outputs go.

    Raises:
        ConfigError: it cannot be made.
        StorageError: the disk is full.
    """
    probe = places.logs / ".probe.part"
    try:
        places.logs.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(bytes(_LEAST_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in FULL:
            why = error.strerror or str(error)
            raise StorageError(
                f"{places.state} has no room to begin ({why}): make room on its disk, or choose another {folder}"
            ) from error
        raise ConfigError(folder, f"{places.logs} cannot be written ({error.strerror}): name another folder") from error


def check_writable(path: Path, needed: Iterable[Path] = (), *, option: str = "--report") -> None:
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
        return "this command needs the file"
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
