"""The compare video: what the edge saw on the left, what both saw together on the right, changed boxes marked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError, DropMessage, StorageError
from pipeline.image import Pixels, decode_jpeg, jpeg_size
from pipeline.model import Detections
from stages.compare_picture import PANEL_WIDTH, Marks, card, panel, panel_height, with_caption
from stages.ledger_report import FrameRow
from stages.outputs import OutputFolders
from stages.vision.iou import iou
from stages.webm import WebmWriter, read_ivf

SAME_IOU: Final = 0.5
"""The IoU from which on two boxes of a class are the same thing."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a compare video shows: how many frames, and how many of them the cloud changed."""

    frames: int
    changed: int


def corrections(row: FrameRow) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The ``changes`` of a frame; none where the edge's model has not looked, which the cloud cannot correct."""
    return changes(row.edge, row.joint if row.seen else row.edge)


def changes(edge: Detections, joint: Detections) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The boxes that came and those that went from ``edge`` to ``joint``.

    Boxes of the same class name are paired one to one, the best overlap first (greedy), down to an IoU of
    ``SAME_IOU``; what has no partner then has changed.

    Returns:
        The indices of the added boxes in ``joint`` and of the removed ones in ``edge``, each ascending.
    """
    overlap = iou(edge.boxes, joint.boxes)
    overlap[_names(edge)[:, None] != _names(joint)[None, :]] = 0
    only_edge, only_joint = set(range(len(edge))), set(range(len(joint)))
    for flat in np.argsort(-overlap, axis=None, kind="stable").tolist():
        i, j = divmod(flat, len(joint))
        if overlap[i, j] < SAME_IOU:
            break
        if i in only_edge and j in only_joint:
            only_edge.remove(i)
            only_joint.remove(j)
    return np.array(sorted(only_joint), np.intp), np.array(sorted(only_edge), np.intp)


def write_compare(
    rows: Iterable[FrameRow],
    folders: OutputFolders,
    path: Path,
    fps: float,
    *,
    hold_s: float = 1.5,
    progress: Callable[[int], None] | None = None,
) -> Compared:
    """Write the compare video of one stream as WebM (VP8), which browsers play, 1280 pixels wide.

    It appears whole or not at all, and the same rows and pictures give the same bytes. Without rows there is none.

    Args:
        rows: the stream's frames in order; see ``stages.ledger_report.read_frames``.
        folders: where their pictures are. A missing or damaged one gives a grey card with the reason.
        path: the video, ``*.webm``.
        fps: the rate of frames that nothing changed in, as the source was sampled.
        hold_s: how long a frame stands that the cloud changed.
        progress: told after each frame how many are done.

    Raises:
        ConfigError: this OpenCV cannot encode VP8.
        StorageError: the disk takes nothing.
    """
    ivf, part = path.with_name(f".{path.name}.part.ivf"), path.with_name(f".{path.name}.part")
    shows: list[float] = []
    try:
        with _Encoder(ivf, fps) as encoder:
            for row in rows:
                show = _Show.of(row, folders)
                encoder.write(show)
                shows.append(max(hold_s, 1 / fps) if show.changed else 1 / fps)
                if progress:
                    progress(len(shows))
        if shows:
            _remux(ivf, part, shows, encoder.size)
            part.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be stored: {error.strerror or error}; make room on its disk") from error
    finally:
        ivf.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return Compared(len(shows), encoder.changed)


@dataclass(frozen=True, slots=True, eq=False)
class _Show:
    """A frame, its two pictures (None where there is none), and what changed from left to right."""

    row: FrameRow
    left: Pixels | None
    right: Pixels | None
    added: npt.NDArray[np.intp]
    removed: npt.NDArray[np.intp]

    @classmethod
    def of(cls, row: FrameRow, folders: OutputFolders) -> _Show:
        name = f"{row.seq}.jpeg"
        right = _picture(folders.all / name)
        left = _picture(folders.hard_edge / name) if row.hard or row.audited else right
        return cls(row, left, right, *corrections(row))

    @property
    def changed(self) -> bool:
        return len(self.added) + len(self.removed) > 0

    def draw(self, height: int) -> Pixels:
        row = self.row
        sides = (
            (self.left, Marks(row.edge, self.removed, "-")),
            (self.right, Marks(row.joint, self.added, "+")),
        )
        left, right = (
            card(f"no picture: {row.reason or 'the file is gone or damaged'}", height)
            if picture is None
            else panel(picture, marks, row.width, height)
            for picture, marks in sides
        )
        titles = (f"{row.stream} {row.seq}   edge", f"joint   {self._outcome()}")
        return with_caption(left, right, (titles, (row.verdict, row.reason)))

    def _outcome(self) -> str:
        if self.changed:
            return f"cloud corrected: +{len(self.added)} -{len(self.removed)}"
        return "cloud agreed" if self.row.ending == "cloud" else self.row.ending or "the cloud has not answered"


class _Encoder:
    """Encodes what is shown as VP8 into an IVF file; the first frame decides on the size."""

    def __init__(self, path: Path, fps: float) -> None:
        self.size = (2 * PANEL_WIDTH, 0)
        self.changed = 0
        self._path = path
        self._fps = fps
        self._height = 0
        self._video: cv2.VideoWriter | None = None

    def write(self, show: _Show) -> None:
        self._height = self._height or panel_height(show.row.width, show.row.height)
        picture = show.draw(self._height)
        self._video = self._video or self._opened(picture)
        self._video.write(picture)
        self.changed += show.changed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._video is not None:
            self._video.release()

    def _opened(self, picture: Pixels) -> cv2.VideoWriter:
        self.size = (picture.shape[1], picture.shape[0])
        # IVF and not WebM: OpenCV complains on stderr about the tag that it gives VP8 in its own WebM.
        self._path.write_bytes(b"")
        video = cv2.VideoWriter(str(self._path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"VP80"), self._fps, self.size)
        if not video.isOpened():
            raise ConfigError(
                str(self._path), "this OpenCV cannot encode VP8; install opencv-python-headless, which can"
            )
        return video


def _remux(ivf: Path, part: Path, shows_s: list[float], size: tuple[int, int]) -> None:
    ends_ms = [round(1000 * end_s) for end_s in np.cumsum(shows_s).tolist()]
    with ivf.open("rb") as source, part.open("wb") as target:
        writer = WebmWriter(target, *size)
        frames: Iterator[bytes] = read_ivf(source)
        try:
            for frame, at_ms in zip(frames, (0, *ends_ms[:-1]), strict=True):
                writer.add(frame, at_ms)
        except ValueError as error:
            # OpenCV does not say so when the disk takes no more of its video.
            raise StorageError(f"{ivf} is cut short: {error}; make room on its disk") from error
        writer.close(ends_ms[-1])


def _picture(path: Path) -> Pixels | None:
    try:
        jpeg = path.read_bytes()
        width, _ = jpeg_size(jpeg)
        reduce = 4 if width >= 4 * PANEL_WIDTH else 2 if width >= 2 * PANEL_WIDTH else 1
        return decode_jpeg(jpeg, reduce=reduce)
    except (FileNotFoundError, DropMessage):
        return None


def _names(detections: Detections) -> npt.NDArray[np.str_]:
    return np.array(detections.names, np.str_)[detections.labels] if len(detections) else np.zeros(0, np.str_)
