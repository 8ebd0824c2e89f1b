"""``tandem export``: a training set of the frames that the cloud answered."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import yaml
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from pipeline.app.export_samples import GONE, Found, find
from pipeline.duration import Duration
from pipeline.errors import ConfigError
from stages.outputs import yolo_labels
from stages.training_set import Sample, coco, frames_csv, learned
from stages.training_split import Moment, Split, split
from stages.whole_files import FolderGoneError, publish

_NEAR: Final = "too near to a frame that validates"

_FAR_OFF: Final = 0.1
"""By how much the share that validates may differ from what was asked for before it is spoken of."""


class Format(StrEnum):
    """What reads the set."""

    YOLO = "yolo"
    COCO = "coco"


@dataclass(frozen=True, slots=True)
class Export:
    """What is wanted.

    Attributes:
        target: the folder to make.
        val: the share of the time that validates.
        stretch_s: how long stretches are that stay together, seconds; see ``split``.
        classes: these alone, in this order; all of the big model's if None.
        confidence: boxes that score less are no labels.
    """

    form: Format
    target: Path
    val: float
    stretch_s: float | None
    classes: tuple[str, ...] | None
    confidence: float

    def folder(self, root: Path, part: Split) -> Path:
        """Where the pictures of a part are."""
        return root / "images" / part if self.form is Format.YOLO else root / part


def stretch_of(text: str) -> float:
    """Seconds of ``60 s`` or ``5 min``.

    Raises:
        ConfigError: it is no duration.
    """
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise ConfigError("--stretch", f"{text!r} is no time: give seconds, or a unit with it, e.g. 5 min") from error


def export(outs: Sequence[Path], wanted: Export, console: Console) -> None:
    """Make the set, whole or not at all, and say what is in it.

    Raises:
        ConfigError: the target is there already or cannot be made, a folder has no ledger, or there is nothing in it.
        StorageError: a file cannot be written.
    """
    if wanted.target.exists() and not (wanted.target.is_dir() and not any(wanted.target.iterdir())):
        raise ConfigError(f"--{wanted.form}", f"{wanted.target} is there already: name a new folder, or remove it")
    found = find(outs)
    names = _classes(found, wanted)
    parts = _split(found, wanted)
    whole = wanted.target.absolute()
    root = whole.with_name(f".{whole.name}.part")
    try:
        shutil.rmtree(root, ignore_errors=True)  # of an export that was killed
        root.mkdir(parents=True)
        parts = list(_pictures(root, wanted, names, parts, found.left_out))
        _write_texts(root, wanted, names, parts)
        root.rename(whole)
    except OSError as error:
        raise ConfigError(f"--{wanted.form}", f"{wanted.target} cannot be made: {error.strerror}") from error
    finally:
        shutil.rmtree(root, ignore_errors=True)
    _say(console, wanted, names, parts, found.left_out)


def _classes(found: Found, wanted: Export) -> tuple[str, ...]:
    if not found.samples:
        why = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items()) or "none was sent to the cloud"
        raise ConfigError("OUT", f"there is no frame with the cloud's answer and a picture: {why}")
    unknown = [name for name in wanted.classes or () if name not in found.classes]
    if unknown or wanted.classes == ():
        raise ConfigError(
            "--classes", f"there is no class {', '.join(unknown)!r}; known are {', '.join(found.classes)}"
        )
    return tuple(dict.fromkeys(wanted.classes or found.classes))


def _split(found: Found, wanted: Export) -> list[tuple[Split, Sample]]:
    """The samples with the part that each belongs to, and the labels that are wanted."""
    moments = [Moment(sample.source, sample.at_s) for sample in found.samples]
    parts: list[tuple[Split, Sample]] = []
    belong = split(moments, wanted.val, wanted.stretch_s, found.spans_s)
    for sample, part in zip(found.samples, belong, strict=True):
        if part is None:
            found.left_out[_NEAR] += 1
        else:
            labels = learned(sample.labels, wanted.classes, wanted.confidence)
            parts.append((part, replace(sample, labels=labels)))
    there = {part for part, _ in parts}
    if wanted.val > 0 and there != set(Split):
        only = next(iter(there))
        raise ConfigError(
            "--val",
            f"all {len(parts)} frames lie in one stretch of time ({only}): name a shorter --stretch, or --val 0",
        )
    return parts


def _pictures(
    root: Path,
    wanted: Export,
    names: Sequence[str],
    parts: Sequence[tuple[Split, Sample]],
    left_out: Counter[str],
) -> Iterator[tuple[Split, Sample]]:
    """Put each picture, and with YOLO its labels, where it belongs; go by those that are there."""
    for part in {part for part, _ in parts}:
        wanted.folder(root, part).mkdir(parents=True)
        if wanted.form is Format.YOLO:
            (root / "labels" / part).mkdir(parents=True)
    for part, sample in parts:
        files: dict[str, bytes | Path] = {f"{wanted.folder(root, part)}/{sample.name}": sample.picture}
        if wanted.form is Format.YOLO:
            text = yolo_labels(sample.labels, tuple(names), sample.width, sample.height)
            files[f"{root}/labels/{part}/{Path(sample.name).stem}.txt"] = text.encode()
        try:
            publish(files)
        except FolderGoneError:
            if sample.picture.exists():
                raise
            left_out[GONE] += 1  # a run that goes on has just removed it (sink.keep)
        else:
            yield part, sample


def _write_texts(root: Path, wanted: Export, names: Sequence[str], parts: Sequence[tuple[Split, Sample]]) -> None:
    there = [part for part in Split if any(part is other for other, _ in parts)]
    texts = {root / "frames.csv": frames_csv(parts)}
    if wanted.form is Format.YOLO:
        paths = {str(part): f"images/{part}" for part in there}  # beside this file, wherever the folder is moved
        texts[root / "data.yaml"] = yaml.safe_dump(
            {**paths, "names": dict(enumerate(names))}, sort_keys=False, allow_unicode=True
        )
    else:
        (root / "annotations").mkdir()
        for part in there:
            samples = [sample for other, sample in parts if other is part]
            texts[root / "annotations" / f"instances_{part}.json"] = coco(samples, names)
    publish({str(path): text.encode() for path, text in texts.items()})


def _say(
    console: Console,
    wanted: Export,
    names: Sequence[str],
    parts: Sequence[tuple[Split, Sample]],
    left_out: Counter[str],
) -> None:
    lines = [f"{'classes':<9} {', '.join(names)}"]
    for part in Split:
        samples = [sample for other, sample in parts if other is part]
        audited = sum(sample.audited for sample in samples)
        boxes = sum(len(sample.labels) for sample in samples)
        whole = f"{len(samples)} frames ({audited} of them easy, and audited), {boxes} boxes"
        lines.append(f"{part:<9} {whole}: {wanted.folder(wanted.target, part)}" if samples else f"{part:<9} nothing")
    lines += _share(wanted.val, [part for part, _ in parts])
    lines += [f"{'left out':<9} {left_out[reason]} frames {reason}" for reason in sorted(left_out)]
    lines.append(f"{'frames':<9} {wanted.target / 'frames.csv'}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _share(asked: float, parts: Sequence[Split]) -> Iterator[str]:
    """Say what share validates, and why, where it is far from what was asked for."""
    share = parts.count(Split.VAL) / len(parts) if parts else asked
    if abs(share - asked) > _FAR_OFF:
        yield (
            f"{'share':<9} {share:.0%} of the frames validate, not {asked:.0%}: whole stretches of time stay together, "
            "and few of them, or uneven ones, do not divide as asked; another --stretch may come nearer"
        )
