"""Where a worker's model comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from pipeline.app.sedna.objects import Model
from pipeline.errors import ConfigError
from stages.models import SHIPPED

MODELS: Final = PurePosixPath("/models")
"""Where a container finds its model."""

_REMEDY: Final = (
    "convert it with scripts/convert_model.py and name the .onnx file, or try it with the shipped models: "
    "tandem sedna FILE.yaml --models shipped"
)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model as a container is given it.

    Attributes:
        url: the path or URL in the object.
        in_container: what ``MODEL_URL`` becomes: a path below ``/models``, or a shipped model's name.
        folder: the folder on the node that is mounted there; None where the model is fetched or shipped.
        fetched: whether an init container fetches it first.
    """

    url: str
    in_container: str
    folder: PurePosixPath | None = None
    fetched: bool = False


def model_source(model: Model) -> ModelSource:
    """Where this model comes from: a file on the node, an http(s) server, or Tandem's image (``little``, ``big``).

    Raises:
        ConfigError: it is no ONNX model, or nothing here fetches from such a URL.
    """
    field, url = f"Model {model.metadata.name}: spec.url", model.spec.url
    _check_format(model)
    if url in SHIPPED:
        return ModelSource(url, url)
    parts = urlsplit(url)
    name = PurePosixPath(unquote(parts.path)).name
    if parts.scheme in ("http", "https"):
        if not parts.hostname or not name:
            raise ConfigError(field, f"{url!r} names no file on a server: write https://host/path/model.onnx")
        return ModelSource(url, str(MODELS / name), fetched=True)
    if parts.scheme:
        raise ConfigError(
            field,
            f"nothing here fetches from {parts.scheme}://: give an http:// or https:// URL, or the path of a file on "
            "the node, e.g. /data/models/little.onnx",
        )
    path = PurePosixPath(url)
    if not path.is_absolute() or ".." in path.parts:
        raise ConfigError(field, f"{url!r} is no absolute path: write it from the node's root, e.g. /data/{path.name}")
    if len(path.parts) < 3:
        raise ConfigError(field, f"{url!r} is not in a folder of its own: the node's whole root would be mounted")
    return ModelSource(url, str(MODELS / path.name), folder=path.parent)


def _check_format(model: Model) -> None:
    form, suffix = model.spec.format.lower(), PurePosixPath(urlsplit(model.spec.url).path).suffix.lower()
    name = f"Model {model.metadata.name}"
    if form == "pb" or suffix == ".pb":
        at = "spec.url" if suffix == ".pb" else "spec.format"
        raise ConfigError(f"{name}: {at}", f"it is a TensorFlow graph (.pb), and Tandem runs ONNX: {_REMEDY}")
    if form not in ("", "onnx"):
        raise ConfigError(f"{name}: spec.format", f"it is {model.spec.format!r}, and Tandem runs ONNX: write onnx")
