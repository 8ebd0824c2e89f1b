"""What a model sees in each picture of a set, kept on disk so that it need look but once."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.console import Console

from pipeline.app.detectors import make_detector
from pipeline.app.evaluate.pictures import PictureSet
from pipeline.app.fingerprint import model_identity
from pipeline.app.progress import FrameProgress
from pipeline.config import ModelConfig
from pipeline.errors import ConfigError, DropMessage, SourceError, StorageError
from pipeline.model import Detections
from stages.source import Picture
from stages.whole_files import make_folder, publish

_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One model's detections in n pictures.

    Attributes:
        seqs: (n,) the numbers of the pictures in their source.
        media_s: (n,) their positions there.
        sizes: (n, 2) width and height in pixels.
        upload_bytes: (n,) what each takes as JPEG.
        detections: n of them.
        cached: whether they come from disk.
    """

    seqs: npt.NDArray[np.int64]
    media_s: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.int64]
    upload_bytes: npt.NDArray[np.int64]
    detections: tuple[Detections, ...]
    cached: bool = False


def look(section: str, model: ModelConfig, pictures: PictureSet, cache: Path, console: Console) -> Seen:
    """What a model sees in the pictures; from ``cache`` where it has looked at them before, with these settings.

    Raises:
        ConfigError: the model or the pictures cannot be used.
    """
    file = cache / f"{_key(model, pictures)}.npz"
    if (known := _read(file)) is not None:
        return known
    detector = make_detector(section, model, 1)
    try:
        looks = f"{detector.model} looks"
        with FrameProgress(console, {looks: _length(pictures)}, "pictures", transient=True) as progress:
            seen = seen_in(_counted(pictures.read(), partial(progress.update, looks)), detector.detect)
    except SourceError as error:
        raise ConfigError("IMAGES", str(error)) from error
    if not len(seen.seqs):
        raise ConfigError("IMAGES", f"{pictures.address.name}: none of its pictures can be read")
    _write(file, seen)
    return seen


def seen_in(pictures: Iterable[Picture], detect: Callable[[Any], Detections]) -> Seen:
    """What ``detect`` sees in the pictures; one that is damaged is left out."""
    rows = []
    for picture in pictures:
        try:
            rows.append((picture, detect(picture.image)))
        except DropMessage:
            continue
    return Seen(
        np.array([picture.seq for picture, _ in rows], np.int64),
        np.array([picture.media_s for picture, _ in rows], np.float64),
        np.array([(picture.image.width, picture.image.height) for picture, _ in rows], np.int64).reshape(-1, 2),
        np.array([len(picture.image.jpeg) for picture, _ in rows], np.int64),
        tuple(detections for _, detections in rows),
    )


def _counted(pictures: Iterable[Picture], tell: Callable[[int, str], None]) -> Iterator[Picture]:
    """The same pictures; ``tell`` hears how many were done before each."""
    for done, picture in enumerate(pictures):
        tell(done, "")
        yield picture


def in_both(edge: Seen, cloud: Seen) -> tuple[Seen, Seen]:
    """The two, without pictures that one of the models failed on."""
    _, of_edge, of_cloud = np.intersect1d(edge.seqs, cloud.seqs, assume_unique=True, return_indices=True)
    return _taken(edge, of_edge), _taken(cloud, of_cloud)


def _taken(seen: Seen, kept: npt.NDArray[np.intp]) -> Seen:
    detections = tuple(seen.detections[i] for i in kept)
    arrays = seen.seqs[kept], seen.media_s[kept], seen.sizes[kept], seen.upload_bytes[kept]
    return Seen(*arrays, detections, cached=seen.cached)


def _key(model: ModelConfig, pictures: PictureSet) -> str:
    settings = {name: value for name, value in model_identity(model).items() if name != "confidence"}
    try:
        shape = json.dumps([_FORMAT, settings, pictures.identity], sort_keys=True)
    except SourceError as error:
        raise ConfigError("IMAGES", str(error)) from error
    return hashlib.sha256(shape.encode()).hexdigest()[:32]


def _length(pictures: PictureSet) -> int | None:
    source = pictures.source()
    source.open()
    length = source.length
    source.close()
    return math.ceil(length / pictures.every) if length else None


def _write(file: Path, seen: Seen) -> None:
    """Keep it.

    Raises:
        ConfigError: the folder takes nothing.
    """
    columns = {
        "seqs": seen.seqs,
        "media_s": seen.media_s,
        "sizes": seen.sizes,
        "upload_bytes": seen.upload_bytes,
        "counts": np.array([len(found) for found in seen.detections], np.int64),
        "boxes": np.concatenate([found.boxes for found in seen.detections]),
        "scores": np.concatenate([found.scores for found in seen.detections]),
        "labels": np.concatenate([found.labels for found in seen.detections]),
        "names": np.array([json.dumps(found.names) for found in seen.detections]),
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **columns)
    try:
        make_folder(file.parent)
        publish({str(file): packed.getvalue()})
    except (OSError, StorageError) as error:
        raise ConfigError("--cache", f"{file.parent} takes nothing ({error}); name another folder") from error


def _read(file: Path) -> Seen | None:
    """What was kept; None where there is nothing, or nothing that can be read."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as kept:
            ends = np.cumsum(kept["counts"])[:-1]
            parts = zip(
                *(np.split(kept[name], ends) for name in ("boxes", "scores", "labels")), kept["names"], strict=True
            )
            found = tuple(
                Detections(boxes, scores, labels, tuple(json.loads(str(names))))
                for boxes, scores, labels, names in parts
            )
            return Seen(kept["seqs"], kept["media_s"], kept["sizes"], kept["upload_bytes"], found, cached=True)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
