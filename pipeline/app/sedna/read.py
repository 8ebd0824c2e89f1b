"""From YAML or an API server's JSON to typed objects, with every mistake in plain words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.app.sedna.objects import API_VERSION, JointInferenceService, Model, Object
from pipeline.errors import ConfigError

O = TypeVar("O", bound=Object)  # noqa: E741 - an object

_KINDS: Final = (JointInferenceService.KIND, Model.KIND)


@dataclass(frozen=True, slots=True)
class Objects:
    """What a file holds.

    Attributes:
        models: by namespace and name.
    """

    services: tuple[JointInferenceService, ...]
    models: Mapping[tuple[str, str], Model]

    def models_of(self, service: JointInferenceService) -> dict[str, Model]:
        """The models in a service's namespace, by their names."""
        return {name: model for (space, name), model in self.models.items() if space == service.metadata.namespace}


def read_objects(file: Path) -> Objects:
    """Read a file of one document or more, separated by ``---``, as ``kubectl apply`` takes it.

    Raises:
        ConfigError: the file cannot be read, is no YAML, holds something else, or an object is wrong. It names the
            file, the object and the field.
    """
    try:
        documents = [found for found in yaml.safe_load_all(file.read_text(encoding="utf-8")) if found is not None]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(str(file), f"it cannot be read ({why})") from error
    except yaml.YAMLError as error:
        raise ConfigError(str(file), f"it is no YAML: {error}") from error
    services: dict[tuple[str, str], JointInferenceService] = {}
    models: dict[tuple[str, str], Model] = {}
    for number, document in enumerate(documents, start=1):
        where = f"{file}, document {number}"
        found = _object(document, where)
        key = (found.metadata.namespace, found.metadata.name)
        into: dict[tuple[str, str], Any] = services if isinstance(found, JointInferenceService) else models
        if key in into:
            raise ConfigError(where, f"there is a {found.kind} {'/'.join(key)} already: give it another name")
        into[key] = found
    if not services:
        raise ConfigError(str(file), f"there is no {JointInferenceService.KIND} in it")
    return Objects(tuple(services.values()), models)


def parsed(kind: type[O], document: Mapping[str, Any], where: str = "") -> O:
    """An object of this kind.

    Raises:
        ConfigError: it names the object and the field, and what would be right.
    """
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise _config_error(kind, document, error, where) from error


def _object(document: object, where: str) -> Object:
    if not isinstance(document, Mapping):
        raise ConfigError(where, f"it holds {type(document).__name__}, not an object with apiVersion and kind")
    kind, version = document.get("kind"), document.get("apiVersion")
    if kind not in _KINDS:
        raise ConfigError(f"{where}: kind", f"{_is(kind)}, but {' and '.join(_KINDS)} are known here")
    if version != API_VERSION:
        raise ConfigError(f"{where}: apiVersion", f"{_is(version)}, but {API_VERSION} is known here")
    return parsed(Model if kind == Model.KIND else JointInferenceService, document, where)


def _is(value: object) -> str:
    return "it is missing" if value is None else f"it is {value!r:.60}"


def _config_error(kind: type[Object], document: Mapping[str, Any], error: ValidationError, where: str) -> ConfigError:
    found = error.errors(include_url=False)
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    metadata = document.get("metadata")
    name = metadata.get("name", "?") if isinstance(metadata, Mapping) else "?"
    path = ".".join(str(part) for part in first["loc"])
    prefix = f"{where}: " if where else ""
    return ConfigError(f"{prefix}{kind.KIND} {name}: {path}", _words(kind, first))


def _words(kind: type[Object], error: ErrorDetails) -> str:
    match error["type"]:
        case "missing":
            return "is required, but not set"
        case "extra_forbidden":
            known = list(_fields(kind, [str(part) for part in error["loc"][:-1]]))
            near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            return f"there is no such field; {hint}"
        case _:
            return f"{error['msg'].removeprefix('Input ')} (it is {error['input']!r:.60})"


def _fields(kind: type[BaseModel], path: list[str]) -> Iterator[str]:
    """The names of the fields at ``path``, as people write them."""
    for part in path:
        if part.isdigit():
            continue
        field = next(one for name, one in kind.model_fields.items() if part in (name, one.alias))
        kind = next(_models_in(field.annotation))
    yield from (field.alias or name for name, field in kind.model_fields.items())


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)
