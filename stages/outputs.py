"""The pictures on disk: every frame with its boxes, and the untouched frames that were sent with the cloud's labels."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Self

import numpy as np

from pipeline.errors import ConfigError, DropMessage, StorageError
from pipeline.image import Image
from pipeline.messages import Result
from pipeline.model import Detections, Ending, FrameId
from stages.explanation import explanation
from stages.folders import PART, Folders
from stages.lock import OwnerLock, lock_of
from stages.sink_stores import Written
from stages.vision.draw_jpeg import draw_jpeg, redraw_jpeg
from stages.whole_files import FolderGoneError, publish, storage_error

_PICTURE: Final = re.compile(r"[1-9]\d*\.jpeg")
_LABELS: Final = re.compile(r"[1-9]\d*\.txt|classes\.txt")


@dataclass(frozen=True, slots=True)
class OutputFolders:
    """Where the pictures of one stream go. No two of them may be the same.

    Attributes:
        all: every frame with its final boxes.
        hard_edge: every frame that was sent, hard or audited, with the edge's boxes.
        hard_cloud: the frames that the cloud answered, with its boxes.
        dataset: the untouched frames that were sent, and beside them the cloud's boxes in YOLO's text format.
    """

    all: Path
    hard_edge: Path
    hard_cloud: Path
    dataset: Path

    def __post_init__(self) -> None:
        paths = [path.resolve() for path in self]
        for path in paths:
            if paths.count(path) > 1:
                raise ConfigError(
                    str(path), "is given for two outputs, which would overwrite each other; name two folders"
                )

    def __iter__(self) -> Iterator[Path]:
        return iter((self.all, self.hard_edge, self.hard_cloud, self.dataset))

    @classmethod
    def under(cls, out: Path) -> Self:
        """The four folders by their own names in ``out``."""
        return cls(*(out / field.name for field in fields(cls)))

    def of(self, stream: str) -> OutputFolders:
        """A folder for ``stream`` in each of the four."""
        return OutputFolders(*(path / stream for path in self))


class FolderOutputs:
    """An ``OutputStore`` in folders.

    A file is written under a temporary name and renamed, so it is whole or absent whenever the process is killed, and
    writing it again replaces it. The same result and picture give the same bytes. Nothing is synced: after a power cut
    the newest pictures may be missing or empty although the ledger, which is synced, has their frames.
    ``all`` and ``hard_*`` share one file by hard links where the file system has them.
    """

    def __init__(self, folders: Mapping[str, OutputFolders], quality: int = 85, *, explain: bool = False) -> None:
        """Make the folders, and remove what a process that was killed left half-written.

        Args:
            folders: by stream.
            quality: of the pictures that are drawn on, 1 to 100.
            explain: whether the verdict is written on them.

        Raises:
            ConfigError: a folder cannot be made or written.
            StorageError: there is no room for it.
        """
        self._folders = dict(folders)
        self._quality = quality
        self._explain = explain
        self._classes: dict[Path, tuple[str, ...]] = {}
        self._there = Folders(folder for stream in self._folders.values() for folder in stream)

    def edge(self, result: Result, image: Image) -> Written:
        """Write revision 1: ``all``, and of one that is sent ``hard_edge`` and ``dataset``; see ``OutputStore``."""
        to, name = self._to(result.id), f"{result.id.seq}.jpeg"
        drawn = draw_jpeg(
            image, result.detections, self._quality, encoded=result.verdict.sent, caption=self._caption(result)
        )
        if not result.verdict.sent:
            return Written(("all",), self._publish({f"{to.all}/{name}": drawn}))
        size_bytes = self._publish(
            {
                f"{to.dataset}/{name}": _jpeg(image),
                f"{to.hard_edge}/{name}": drawn,
                f"{to.all}/{name}": to.hard_edge / name,
            }
        )
        return Written(("all", "hard_edge", "dataset"), size_bytes)

    def cloud(self, result: Result, before: tuple[str, ...]) -> Written:
        """Write revision 2: where the cloud answered, ``hard_cloud``, ``all`` anew, and the labels in ``dataset``.

        Where somebody took the picture out of ``dataset``, or damaged it, all stays as it is.
        """
        if result.ending is not Ending.CLOUD or "dataset" not in before:
            return Written(tuple(name for name in before if name == "all"))
        to, name = self._to(result.id), f"{result.id.seq}.jpeg"
        try:
            untouched = (to.dataset / name).read_bytes()
            drawn = redraw_jpeg(untouched, result.detections, self._quality, self._caption(result))
        except (FileNotFoundError, DropMessage):
            self._restore(to.dataset)
            return Written(("all",))
        except OSError as error:
            raise storage_error(to.dataset / name, error) from error
        labels = yolo_labels(
            result.detections, self._class_names(to.dataset, result.detections), result.width, result.height
        )
        size_bytes = self._publish(
            {
                f"{to.dataset}/{result.id.seq}.txt": labels.encode(),
                f"{to.hard_cloud}/{name}": drawn,
                f"{to.all}/{name}": to.hard_cloud / name,
            }
        )
        return Written(("all", "hard_cloud", "labels"), size_bytes)

    def remove(self, frame: FrameId, files: Iterable[str]) -> None:
        """Remove a frame's files in the folders ``files``; those that are gone are no error.

        Raises:
            StorageError: one cannot be removed, or a folder is gone with its disk.
        """
        for path in map(Path, self.paths(frame, files).values()):
            try:
                path.unlink()
            except FileNotFoundError:
                self._restore(path.parent)
            except OSError as error:
                raise StorageError(f"{path} cannot be removed: {error.strerror}; remove it yourself") from error

    def paths(self, frame: FrameId, files: Iterable[str]) -> dict[str, str]:
        """The path of a frame's file in each of the folders ``files``; ``labels`` lies in ``dataset``."""
        to = self._to(frame)
        return {
            name: f"{to.dataset}/{frame.seq}.txt" if name == "labels" else f"{getattr(to, name)}/{frame.seq}.jpeg"
            for name in files
        }

    def _caption(self, result: Result) -> tuple[str, ...]:
        return explanation(result.verdict) if self._explain else ()

    def _to(self, frame: FrameId) -> OutputFolders:
        try:
            return self._folders[frame.stream]
        except KeyError:
            raise DropMessage(f"{frame}: this sink has no folder for the stream {frame.stream!r}") from None

    def _class_names(self, dataset: Path, detections: Detections) -> tuple[str, ...]:
        """The names in ``classes.txt``, to which those that are new have been added at the end."""
        path = dataset / "classes.txt"
        if dataset not in self._classes:
            try:
                self._classes[dataset] = tuple(path.read_text().splitlines())
            except FileNotFoundError:
                self._classes[dataset] = ()
            except OSError as error:
                raise storage_error(path, error) from error
        known = self._classes[dataset]
        new = tuple(name for name in detections.names if name not in known)
        if new:
            self._publish({str(path): _lines(known + new)})
            self._classes[dataset] = known + new
        return self._classes[dataset]

    def _publish(self, files: Mapping[str, bytes | Path]) -> int:
        try:
            return publish(files)
        except FolderGoneError:
            for folder in {Path(path).parent for path in files}:
                self._restore(folder)
            return publish(files)

    def _restore(self, folder: Path) -> None:
        """See that a folder is there; one that is made again gets its ``classes.txt``, by which labels count."""
        self._there.restore(folder)
        path = folder / "classes.txt"
        if folder in self._classes and not path.exists():
            publish({str(path): _lines(self._classes[folder])})


def _lines(names: tuple[str, ...]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


def _jpeg(image: Image) -> bytes | Path:
    """The picture's JPEG, or the file that it lies in already, to be linked."""
    return image.file if image.file and image.file.exists() else image.jpeg


def yolo_labels(detections: Detections, names: tuple[str, ...], width: int, height: int) -> str:
    """Boxes as YOLO's text: a line ``class cx cy w h`` each, relative to the picture, cut off at its edges.

    The format of Ultralytics' detection datasets. ``class`` counts in ``names``. Boxes outside of the picture are left
    out. Nothing seen gives an empty text, which is a label too: background.
    """
    size = np.array((width, height), np.float64)
    low = np.clip(detections.boxes[:, :2] / size, 0, 1)
    high = np.clip(detections.boxes[:, 2:] / size, 0, 1)
    lines = zip(detections.labels.tolist(), (low + high) / 2, high - low, strict=True)
    return "".join(
        f"{names.index(detections.names[label])} {cx:.6f} {cy:.6f} {w:.6f} {h:.6f}\n"
        for label, (cx, cy), (w, h) in lines
        if w > 0 and h > 0
    )


def remove_outputs(folders: Iterable[OutputFolders], ledger: Path, others: Iterable[Path] = ()) -> None:
    """Remove what an earlier run wrote, for ``--fresh``: pictures, labels, the ledger, and the files ``others``.

    Files that do not carry a name of ours stay, and so do folders that are not empty then.

    Raises:
        ConfigError: a process is using the ledger, or a file cannot be removed.
    """
    with OwnerLock(lock_of(ledger), ledger, "tandem --fresh") if ledger.parent.is_dir() else contextlib.nullcontext():
        _remove_ours(folders, (*(ledger.with_name(ledger.name + end) for end in ("", "-wal", "-shm")), *others))


def _remove_ours(folders: Iterable[OutputFolders], files: Iterable[Path]) -> None:
    for path in files:
        _unlink(path)
    for stream in folders:
        for folder in stream:
            if not folder.is_dir():
                continue
            for path in folder.iterdir():
                labels = folder == stream.dataset and _LABELS.fullmatch(path.name)
                if labels or _PICTURE.fullmatch(path.name) or PART.fullmatch(path.name):
                    _unlink(path)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            str(path), f"cannot be removed: {error}; remove it yourself, or choose another --out (sink.out)"
        ) from error
