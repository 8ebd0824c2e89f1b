"""The shipped models. What they are and how well they do stands in MODEL_CARD.md beside them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

SHIPPED: Final[Mapping[str, Path]] = MappingProxyType(
    {name: Path(str(files(__name__) / f"{name}.onnx")) for name in ("little", "big")}
)
"""The shipped models' files by their names."""


def model_path(model: str) -> Path:
    """The file of a model: a shipped one by its name (``little``, ``big``), any other by its path."""
    return SHIPPED[model] if model in SHIPPED else Path(model).expanduser()
