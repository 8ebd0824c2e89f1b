"""YOLO's labels: a text file for each picture, a line ``class cx cy w h`` for each object, as parts of the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from pipeline.app.evaluate.drawn import Drawn, Shot
from pipeline.errors import ConfigError

T = TypeVar("T")

CLASSES_FILE: Final = "classes.txt"
"""The class names, one a line, if they are not the model's; ``dataset/`` of a replay has such a file."""

_BEYOND: Final = 0.01
"""By so much of a picture a box may lie outside: labelling tools round."""


def read_yolo(
    files: Mapping[str, Path], pictures: Mapping[str, Shot], folder: Path, classes: Sequence[str]
) -> dict[str, list[Drawn]]:
    """The objects of each picture that has a file.

    Args:
        files: by the picture's key.
        pictures: by key.
        folder: where ``classes.txt`` may be.
        classes: the class names otherwise.

    Raises:
        ConfigError: a line is ill-formed; it names the file and the line.
    """
    names = _class_names(folder / CLASSES_FILE) or classes
    return {key: list(_each(file, partial(_object, picture=pictures[key], names=names))) for key, file in files.items()}


def _class_names(file: Path) -> list[str]:
    return _lines(file) if file.is_file() else []


def _lines(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(str(file), f"it cannot be read ({why})") from error


def check_yolo(files: Iterable[Path]) -> None:
    """See that all lines are labels; whether the models know their classes is seen later.

    Raises:
        ConfigError: as ``read_yolo``.
    """
    for file in files:
        for _ in _each(file, _box):
            pass


def _each(file: Path, read: Callable[[Sequence[str]], T]) -> Iterator[T]:
    for number, line in enumerate(_lines(file), start=1):
        if line:
            try:
                yield read(line.split())
            except ValueError as error:
                raise ConfigError(f"{file}, line {number}", f"{error} (it is {line[:80]!r})") from None


def _object(fields: Sequence[str], picture: Shot, names: Sequence[str]) -> Drawn:
    label, (x1, y1, x2, y2) = _box(fields)
    if label >= len(names):
        raise ValueError(f"there are {len(names)} classes ({', '.join(names)}): class {fields[0]} is out of range")
    return Drawn(names[label], (x1 * picture.width, y1 * picture.height, x2 * picture.width, y2 * picture.height))


def _box(fields: Sequence[str]) -> tuple[int, tuple[float, float, float, float]]:
    """A class's number, and corners as parts of the picture."""
    if len(fields) != 5:
        raise ValueError(f'{len(fields)} fields instead of the 5 of "class cx cy w h"')
    if not (fields[0].isascii() and fields[0].isdecimal()):
        raise ValueError(f"the class is a whole number from 0, not {fields[0]!r}")
    try:
        cx, cy, w, h = (float(field) for field in fields[1:])
    except ValueError:
        raise ValueError("cx, cy, w and h are numbers") from None
    x1, y1, x2, y2 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    if not (w > 0 and h > 0 and min(x1, y1) >= -_BEYOND and max(x2, y2) <= 1 + _BEYOND):
        raise ValueError("the box is not within the picture; cx, cy, w and h are parts of its width and height")
    return int(fields[0]), (x1, y1, x2, y2)
