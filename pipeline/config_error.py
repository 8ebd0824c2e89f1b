"""What is wrong with a config, in words that name the setting or variable and say what would be right."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import ConfigError, together
from pipeline.settings import PREFIX

Variables = Mapping[tuple[str, ...], str]
"""The environment variables that set something, by the path of the setting."""


def explained(error: ValidationError, model: type[BaseModel], variables: Variables) -> ConfigError:
    """All that is wrong, as one error.

    Args:
        error: of the ``model``.
        model: has the settings that there are.
        variables: who set them, where that was not a file or the command line.
    """
    return together([_one(found, model, variables) for found in _worth_telling(error)])


def _worth_telling(error: ValidationError) -> Iterator[ErrorDetails]:
    """What is wrong, once for each setting; what is missing beside a typo may be what that one was to be."""
    errors = error.errors(include_url=False)
    typos = {found["loc"][:-1] for found in errors if found["type"] == "extra_forbidden"}
    told = set()
    for found in errors:
        missing = found["type"] == "missing" and found["loc"][:-1] in typos
        if not missing and found["loc"] not in told:
            told.add(found["loc"])
            yield found


def _one(first: ErrorDetails, model: type[BaseModel], variables: Variables) -> ConfigError:
    """One thing that is wrong, in words that say what would be right."""
    path = tuple(str(part) for part in first["loc"] if part != "[key]")
    at, name = next(
        ((at, name) for at, name in variables.items() if at[: len(path)] == path or path[: len(at)] == at),
        ((), ""),
    )
    field = ".".join((name, *path[len(at) :]) if name else path)
    if first["type"] == "extra_forbidden":
        variable = PREFIX if name.startswith(PREFIX) and len(at) >= len(path) else ""
        return ConfigError(field, f"there is no such setting; {_hint(path, at, variable, _known(path[:-1], model))}")
    return ConfigError(field, _words(first))


def _hint(path: tuple[str, ...], at: tuple[str, ...], prefix: str, known: Sequence[str]) -> str:
    """What may have been meant, or what there is; as variables where there is a ``prefix``."""
    close = difflib.get_close_matches(path[-1], known, n=1)
    if not prefix:
        return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    names = [
        prefix + "__".join((*path[:-1], key, *(at[len(path) :] if close else ()))).upper() for key in close or known
    ]
    return f"did you mean {names[0]}?" if close else f"known are {', '.join(names)}"


def _words(error: ErrorDetails) -> str:
    if error["type"] == "missing":
        return "is required, but not set"
    if error["type"] in ("model_type", "dict_type"):
        return f"is a section: put keys below it (it is {_shown(error['input'])})"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").partition(", unable to ")[0]
    shown = _shown(error["input"])
    return message if message.startswith(f"{shown} ") else f"{message} (it is {shown})"


def _shown(value: object) -> str:
    """A value for people, without the password that a URL may have."""
    return reprlib.repr(re.sub(r"//.*@", "//", value, flags=re.DOTALL) if isinstance(value, str) else value)


def _known(path: Sequence[str], model: type[BaseModel]) -> list[str]:
    """The settings in the section at ``path``."""
    section: Any = model
    parts = iter(path)
    for part in parts:
        section = section.model_fields[part].annotation
        if get_origin(section) is dict:  # the streams: any name, then the settings of one
            next(parts, None)
            section = get_args(section)[1]
    return list(section.model_fields)
