"""What is really in the pictures: YOLO's text files, or COCO's JSON."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.app.evaluate.boxes import Boxes
from pipeline.app.evaluate.coco import parsed, read_coco
from pipeline.app.evaluate.drawn import Drawn, Shot
from pipeline.app.evaluate.yolo import CLASSES_FILE, check_yolo, read_yolo
from pipeline.errors import ConfigError

LABELS: Final = "--labels"


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of a set.

    Attributes:
        boxes: the objects of classes that a model knows.
        unlabelled: so many pictures have no labels, and are taken to show no object.
        ignored: how many objects are of classes that no model knows.
        crowds: how many boxes hold many objects that nobody told apart (COCO's ``iscrowd``).
    """

    boxes: Boxes
    unlabelled: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)
    crowds: int = 0


def shots(names: Sequence[str], seqs: Sequence[int], sizes: Sequence[tuple[int, int]]) -> list[Shot]:
    """The pictures, by the names that labels call them; without ``names``, as in a video, by their numbers."""
    keys = [Path(names[seq - 1]).stem if names else str(seq) for seq in seqs]
    return [Shot(key, *size) for key, size in zip(keys, sizes, strict=True)]


def read_labels(path: Path, pictures: Sequence[Shot], classes: Sequence[str], *, video: bool) -> Truth:
    """The labels in a folder of YOLO's files, or in a JSON file of COCO's form, which may be alone in a folder.

    A picture without labels shows no object. The labels of a video's frame have its number, from 1, at the end of
    their names, e.g. ``gate_000120.txt``.

    Args:
        path: the folder or file.
        pictures: what is looked for.
        classes: the class names that the models know; YOLO's class numbers are theirs unless ``classes.txt`` is there.
        video: whether the pictures are frames of a video.

    Raises:
        ConfigError: there are none for these pictures, or one is ill-formed; file and line are named. Or labels cannot
            tell which of two pictures they are of, or two files are of one picture.
    """
    for key, count in Counter(shot.key for shot in pictures).items():
        if count > 1:
            raise ConfigError(
                "IMAGES", f"{count} pictures are called {key}, which labels cannot tell apart: rename them"
            )
    drawn = _drawn(path, pictures, classes, video=video)
    if not any(shot.key in drawn for shot in pictures):
        raise _of_none(path, [shot.key for shot in pictures])
    index = {name: i for i, name in enumerate(classes)}
    boxes = [(i, each) for i, shot in enumerate(pictures) for each in drawn.get(shot.key, ())]
    rows = [(i, each) for i, each in boxes if not each.crowd]
    known = [(i, index[each.name], each.xyxy) for i, each in rows if each.name in index]
    ignored = Counter(each.name for _, each in rows if each.name not in index)
    if rows and not known:
        raise ConfigError(
            LABELS, f"{path} labels {', '.join(ignored)}, but the models know {', '.join(classes) or 'no class'}"
        )
    objects = Boxes(
        np.array([i for i, _, _ in known], np.int64),
        np.array([label for _, label, _ in known], np.int64),
        np.array([xyxy for *_, xyxy in known], np.float64).reshape(-1, 4),
        np.ones(len(known)),
    )
    unlabelled = sum(shot.key not in drawn for shot in pictures)
    return Truth(objects, unlabelled, ignored, len(boxes) - len(rows))


def check_labels(path: Path, names: Sequence[str]) -> None:
    """See that there are labels that can be read, before anybody looks at pictures for long.

    Args:
        path: the folder or file.
        names: of the pictures' files; none of a video, whose frames are not counted yet.

    Raises:
        ConfigError: as ``read_labels``, but for what only sizes and the models' classes tell.
    """
    texts, table = _files(path)
    keys = {Path(name).stem for name in names}
    of_pictures = [file for file in texts if key_of(file.name, video=not names) in keys]
    check_yolo(of_pictures)
    labelled = {key_of(image.file_name, video=not names) for image in parsed(table).images} if table else set()
    if keys and not of_pictures and not keys & labelled:
        raise _of_none(path, [Path(name).stem for name in names])


def _of_none(path: Path, keys: Sequence[str]) -> ConfigError:
    called = ", ".join(keys[:3])
    return ConfigError(LABELS, f"{path} has no labels for any of the {len(keys)} pictures ({called}, ...)")


def _files(path: Path) -> tuple[list[Path], Path | None]:
    """YOLO's text files; where there are none, the one JSON file."""
    try:
        files = [path] if path.is_file() else sorted(path.iterdir())
    except OSError as error:
        raise ConfigError(LABELS, f"{path} cannot be read ({error.strerror})") from error
    texts = [file for file in files if file.suffix == ".txt" and file.name != CLASSES_FILE]
    tables = [file for file in files if file.suffix == ".json"]
    if texts:
        return texts, None
    if len(tables) != 1:
        what = "neither .txt nor .json files" if not tables else f"{len(tables)} .json files: name one of them"
        raise ConfigError(LABELS, f"{path} has {what}; YOLO text files or one COCO JSON file are read")
    return [], tables[0]


def _drawn(
    path: Path, pictures: Sequence[Shot], classes: Sequence[str], *, video: bool
) -> Mapping[str, Sequence[Drawn]]:
    texts, table = _files(path)
    sizes = {shot.key: shot for shot in pictures}
    if table:
        return read_coco(table, sizes, lambda name: key_of(name, video=video))
    keyed: dict[str, Path] = {}
    for file in texts:
        if (key := key_of(file.name, video=video)) in sizes and keyed.setdefault(key, file) != file:
            raise ConfigError(LABELS, f"{keyed[key].name} and {file.name} in {path} are both labels of {key}")
    return read_yolo(keyed, sizes, path, classes)


def key_of(name: str, *, video: bool) -> str:
    """What a file of labels, or a picture that labels name, stands for: a stem, or a frame's number."""
    stem = Path(name).stem
    if not video:
        return stem
    number = re.search(r"\d+$", stem)
    return str(int(number[0])) if number else ""
