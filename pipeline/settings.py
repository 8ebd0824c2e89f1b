"""Settings as nested maps: where a file, the environment and the command line put them, before anyone checks them.

The file is YAML. The environment has ``TANDEM_`` names with ``__`` between the parts (``TANDEM_BROKER__URL``), and
those that Sedna sets (``video_url``, ``HEM_NAME`` and so on).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from pipeline.errors import ConfigError

PREFIX: Final = "TANDEM_"

SEDNA: Final[Mapping[str, tuple[str, ...]]] = {
    "video_url": ("streams.camera.source",),
    "input_shape": ("detector.input_shape", "cloud.input_shape"),
    "MODEL_URL": ("detector.model", "cloud.model"),
    "HEM_NAME": ("miner.name",),
    "HEM_PARAMETERS": ("miner",),
    "MINING_MODE": ("miner.mode",),
    "all_examples_inference_output": ("sink.all_examples",),
    "hard_example_edge_inference_output": ("sink.hard_edge",),
    "hard_example_cloud_inference_output": ("sink.hard_cloud",),
}
"""The environment names that Sedna sets, and the settings that they are. A container of Sedna has one model."""

_SERVICE_LINK: Final = re.compile(r"\w+_SERVICE_(HOST|PORT)(_\w+)?|\w+_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
"""Kubernetes puts these into every container of a namespace that has a Service whose name begins with ``tandem``."""


def from_file(file: Path) -> dict[str, Any]:
    """Read a config file; a section without keys is as if it were not there.

    Raises:
        ConfigError: it cannot be read, is no YAML, or holds no keys.
    """
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(str(file), f"the config file cannot be read ({why})") from error
    except yaml.YAMLError as error:
        raise ConfigError(str(file), f"the config file is no YAML: {error}") from error
    if not isinstance(settings, dict | None):
        raise ConfigError(str(file), f"the config file holds {type(settings).__name__}, not sections with keys")
    return {key: value for key, value in (settings or {}).items() if value is not None}


def from_environment(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], Any, str]]:
    """What the environment sets, the more telling last: the path of each setting, its value, and the variable's name.

    A value that begins with ``{`` or ``[`` is JSON.

    Raises:
        ConfigError: a variable holds broken JSON.
    """
    for name, places in SEDNA.items():
        if name not in environ:
            continue
        for place in places:
            path = tuple(place.split("."))
            if name == "HEM_PARAMETERS":
                yield from (((*path, key), value, name) for key, value in _sedna_parameters(environ[name]).items())
            else:
                yield path, environ[name], name
    for name, value in sorted(environ.items()):
        if name.startswith(PREFIX) and not _is_service_link(name, value):
            yield tuple(name.removeprefix(PREFIX).lower().split("__")), _value(name, value), name


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a child that gets its whole config in a file."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX) and name not in SEDNA}


def assignment(text: str) -> dict[str, Any]:
    """Read ``miner.threshold_img=0.9`` as nested settings; the value is YAML.

    Raises:
        ConfigError: there is no ``=``, a part of the name is missing, or the value is no YAML.
    """
    path, equals, value = text.partition("=")
    parts = [part.strip() for part in path.split(".")]
    if not equals or not all(parts):
        raise ConfigError(
            "--set", f"{text!r} sets nothing: write it as section.key=value, e.g. miner.threshold_img=0.9"
        )
    try:
        settings = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError("--set", f"{path.strip()} has a value that is no YAML: {value!r}") from error
    return nested(".".join(parts), settings)


def nested(path: str, value: Any) -> dict[str, Any]:
    """``value`` at a dotted ``path``, as nested settings."""
    return nested_at(tuple(path.split(".")), value)


def nested_at(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """``value`` at a ``path`` of one part or more, as nested settings."""
    for part in reversed(path):
        value = {part: value}
    return dict(value)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings, those of ``above`` winning."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and "://" in value)


def _value(name: str, text: str) -> Any:
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(name, f"it begins as JSON but is none: {error}") from error


def _sedna_parameters(text: str) -> dict[str, Any]:
    """Sedna hands miner parameters on as ``[{"key": "threshold_img", "value": "0.9"}]``, and none as ``null``."""
    try:
        return {str(row["key"]): row["value"] for row in json.loads(text or "null") or ()}
    except (ValueError, TypeError, KeyError) as error:
        example = '[{"key": "threshold_img", "value": "0.9"}]'
        raise ConfigError("HEM_PARAMETERS", f"{text!r} is no list of keys and values: write {example}") from error
