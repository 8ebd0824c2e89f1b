"""The shipped models. What they are and how well they do stands in MODEL_CARD.md beside them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pipeline.errors import ConfigError

SHIPPED: Final[Mapping[str, Path]] = MappingProxyType(
    {name: Path(str(files(__name__) / f"{name}.onnx")) for name in ("little", "big")}
)
"""The shipped models' files by their names."""

LEARNED: Final = "learned"
"""The name of what the miner Learned goes by with the shipped models."""


def miner_path(model: str) -> Path:
    """The file of a fitted miner: the shipped one by its name, any other by its path."""
    return Path(str(files(__name__) / f"{LEARNED}.onnx")) if model == LEARNED else Path(model).expanduser()


def model_path(model: str) -> Path:
    """The file of a model: a shipped one by its name (``little``, ``big``), any other by its path."""
    return SHIPPED[model] if model in SHIPPED else Path(model).expanduser()


def check_model_file(section: str, path: Path) -> None:
    """Look whether a model is there, before anybody loads it; ``section`` of the config asks for it.

    Raises:
        ConfigError: there is no such file, or it cannot be read.
    """
    field = f"{section}.model"
    if path.is_dir():
        raise ConfigError(field, f"{path} is a folder: name the ONNX file in it")
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError as error:
        raise ConfigError(
            field, f"there is no file {path}: name an ONNX file, or one of the shipped models, little or big"
        ) from error
    except OSError as error:
        raise ConfigError(field, f"{path} cannot be read ({error.strerror}): check its permissions") from error
