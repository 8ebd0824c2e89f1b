"""Whether a miner that was fitted belongs to the little model that the config names."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.config import DetectorConfig
from pipeline.errors import ConfigError
from stages.mining.fitted import FIELD, FIT, Little
from stages.mining.learned import Learned
from stages.models import model_path


def little_of(detector: DetectorConfig) -> Little:
    """What a fitted miner has to know of a little model; no hash of its file where only another process has it."""
    path = model_path(detector.model)
    try:
        digest = file_digest(path)
    except OSError:
        digest = ""
    return Little(
        name=path.name, sha256=digest, floor=detector.floor, iou=detector.iou, input_shape=detector.input_shape
    )


def check_little(miner: Learned, detector: DetectorConfig) -> None:
    """See that a miner was fitted on what this little model sees.

    Raises:
        ConfigError: it was not; the text says what differs.
    """
    there, here = miner.fitted.little, little_of(detector)
    differing = [
        f"its {name} is {getattr(here, name)} instead of {getattr(there, name)}"
        for name in ("floor", "iou", "input_shape")
        if getattr(here, name) != getattr(there, name)
    ]
    if here.sha256 and here.sha256 != there.sha256:
        known = f"{there.name} (SHA-256 {there.sha256[:8]}...)"
        differing.insert(0, f"it is {here.name} ({here.sha256[:8]}...) instead of {known}")
    if differing:
        raise ConfigError(
            FIELD,
            f"{miner.path} was fitted to another little model than detector.model: {', '.join(differing)}. Make a file "
            f"for this one with `{FIT}`, or choose a miner that needs no fitting, e.g. LeastConfidence",
        )


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hex.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()
