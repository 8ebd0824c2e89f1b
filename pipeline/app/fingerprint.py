"""What shapes a stream's results, in one hash and by name: a ledger goes on only with the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.app.little import file_digest
from pipeline.app.parts import budgets, sampling
from pipeline.config import Config, ModelConfig
from pipeline.errors import SourceError
from stages.fingerprint import fingerprint_of, same
from stages.mining.learned import Learned
from stages.models import LEARNED, miner_path, model_path
from stages.source import VideoSource
from stages.sources.address import SourceAddress, SourceKind, parse_source
from stages.sources.factory import make_source
from stages.sources.sampling import AtRate, Every

_SAMPLE_BYTES = 1 << 16


def fingerprint(config: Config, stream: str, address: SourceAddress, source: VideoSource) -> str:
    """Hash the stream's source, sampling, models, what decides, seed, and how pictures are encoded and drawn on.

    Behind the hash are these settings by name: see ``stages.fingerprint``.

    Raises:
        SourceError: the source is a file that is not there yet.
    """
    shape = {
        "source": source_identity(address, live=source.live),
        "sampling": repr(sampling(config, config.streams[stream])),
        "jpeg_quality": config.reader.jpeg_quality,
        "drawn_quality": config.sink.jpeg_quality,
        "edge": model_identity(config.detector),
        "cloud": model_identity(config.cloud),
        "miner": _miner_identity(config),
        "audit": config.audit.model_dump(mode="json"),
        "duplicates": config.duplicates.model_dump(mode="json"),
        "budget": str(budgets(config).get(stream, "")),
        "seed": config.seed,
        "explain": config.sink.explain,
    }
    return fingerprint_of(_hashed(shape)[:16], _settings(config, stream, address, shape))


def _hashed(shape: object) -> str:
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()


def _settings(config: Config, stream: str, address: SourceAddress, shape: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The parts of ``shape`` as the config calls them, and as people write them."""
    chosen = sampling(config, config.streams[stream])
    rate = (
        {"fps": chosen.fps} if isinstance(chosen, AtRate) else {"every": chosen.n} if isinstance(chosen, Every) else {}
    )
    plain = {
        **rate,
        "reader.jpeg_quality": shape["jpeg_quality"],
        "sink.jpeg_quality": shape["drawn_quality"],
        "sink.explain": shape["explain"],
        "budget": shape["budget"],
        "seed": shape["seed"],
    }
    for section in ("miner", "audit", "duplicates", "edge", "cloud"):
        called = "detector" if section == "edge" else section
        plain |= {f"{called}.{name}": value for name, value in shape[section].items() if name != "file"}
    models = {"detector.model": (config.detector, "edge"), "cloud.model": (config.cloud, "cloud")}
    return {
        "source": (address.name, _hashed(shape["source"])),
        **{name: (model.model, shape[part]["file"]) for name, (model, part) in models.items()},
        **{name: (_said(value),) for name, value in plain.items() if value not in ("", None)},
        **({"miner.model": (_fitted(config), shape["miner"]["file"])} if "file" in shape["miner"] else {}),
    }


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def differing(config: Config, before: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The streams that were made with another fingerprint, that one, and that of now. Sources not there are left out.

    Args:
        config: of now.
        before: fingerprints of earlier, by stream.
    """
    for stream, settings in config.streams.items():
        if stream not in before:
            continue
        address = parse_source(settings.source)
        try:
            now = fingerprint(config, stream, address, make_source(address, sampling(config, settings)))
        except SourceError:
            continue
        if not same(before[stream], now):
            yield stream, before[stream], now


def _miner_identity(config: Config) -> dict[str, Any]:
    """The miner's settings, and what is in its file if it has one."""
    settings = config.miner.model_dump(mode="json")
    if config.miner.name != Learned.name:
        return settings
    path = miner_path(_fitted(config))
    try:
        return {**settings, "file": file_digest(path)}
    except OSError:
        return {**settings, "file": path.name}  # another process has it


def _fitted(config: Config) -> str:
    return str(config.miner.parameters.get("model", LEARNED))


def source_identity(address: SourceAddress, *, live: bool) -> Any:
    """What tells a source apart: a camera's URL, and what is in a file: its name may change, its pictures may not.

    Raises:
        SourceError: it is a file or folder that is not there.
    """
    if live or address.kind is not SourceKind.LOCAL:
        return address.identity
    path = Path(address.location)
    try:
        if path.is_dir():
            return sorted((file.name, file.stat().st_size) for file in path.iterdir() if file.is_file())
        return _digest(path)
    except OSError as error:
        raise SourceError(f"{address.name}: {error.strerror}; put a video file there") from error


def model_identity(model: ModelConfig) -> dict[str, Any]:
    """What shapes what a model says: its settings, and what is in its file."""
    shape = model.model_dump(mode="json", include={"input_shape", "confidence", "floor", "iou", "classes"})
    path = model_path(model.model)
    try:
        return {**shape, "file": file_digest(path)}
    except OSError:
        return {**shape, "file": path.name}  # another process has it


def _digest(path: Path) -> str:
    """The size, the beginning and the end of a file: enough to tell videos apart without reading all of them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
        file.seek(max(0, size - _SAMPLE_BYTES))
        return hashlib.sha256(str(size).encode() + head + file.read(_SAMPLE_BYTES)).hexdigest()
