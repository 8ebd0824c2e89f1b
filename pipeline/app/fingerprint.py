"""What shapes a stream's results, in one hash: a ledger goes on only with the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.app.parts import budgets, sampling
from pipeline.config import Config, ModelConfig
from pipeline.errors import SourceError
from stages.models import model_path
from stages.source import VideoSource
from stages.sources.address import SourceAddress, SourceKind

_SAMPLE_BYTES = 1 << 16


def fingerprint(config: Config, stream: str, address: SourceAddress, source: VideoSource) -> str:
    """Hash the stream's source, sampling, models, what decides, seed, and how pictures are encoded and drawn on.

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
        "miner": config.miner.model_dump(mode="json"),
        "audit": config.audit.model_dump(mode="json"),
        "duplicates": config.duplicates.model_dump(mode="json"),
        "budget": str(budgets(config).get(stream, "")),
        "seed": config.seed,
        "explain": config.sink.explain,
    }
    return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:16]


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
        return {**shape, "file": hashlib.sha256(path.read_bytes()).hexdigest()}
    except OSError:
        return {**shape, "file": path.name}  # another process has it


def _digest(path: Path) -> str:
    """The size, the beginning and the end of a file: enough to tell videos apart without reading all of them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_SAMPLE_BYTES)
        file.seek(max(0, size - _SAMPLE_BYTES))
        return hashlib.sha256(str(size).encode() + head + file.read(_SAMPLE_BYTES)).hexdigest()
