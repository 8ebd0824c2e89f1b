"""Where a model's class names come from."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence

from pipeline.errors import ConfigError
from pipeline.model import CLASS_NAME
from stages.vision.inputs import parse_literal


def known_names(given: Sequence[str] | None, metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """The config's names, else those in the metadata (``{0: 'person', ...}`` as Ultralytics writes), else None."""
    if given:
        return tuple(given)
    value = parse_literal(metadata.get("names", ""))
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value or set(value) != set(range(len(value))):
        return None
    return tuple(str(value[index]) for index in range(len(value)))


def fitting_names(section: str, names: tuple[str, ...] | None, classes: int | None) -> tuple[str, ...]:
    """The names of a head with ``classes`` classes (None: nobody knows); ``class0`` and so on where there are none.

    Raises:
        ConfigError: there are too many names, or too few, or one does not fit into a line of text.
    """
    if names is None:
        return padded((), classes or 0)
    _check_fit_a_line(section, names)
    if classes is not None and len(names) != classes:
        raise ConfigError(
            f"{section}.classes",
            f"there are {len(names)} names ({', '.join(names[:8])}{', ...' if len(names) > 8 else ''}) for a model of "
            f"{classes} classes: name all {classes}, in the order of its training",
        )
    return names


def _check_fit_a_line(section: str, names: tuple[str, ...]) -> None:
    for index, name in enumerate(names):
        if not CLASS_NAME.fullmatch(name) or name != name.encode(errors="replace").decode():
            raise ConfigError(
                f"{section}.classes",
                f"class {index} of the model is called {reprlib.repr(name)}: give names of up to 256 characters "
                "without line breaks and control characters",
            )


def padded(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """At least ``count`` names: a class without one is called by its index, e.g. ``class7``."""
    return names + tuple(f"class{index}" for index in range(len(names), count))
