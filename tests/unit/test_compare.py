"""The compare video shows every frame, marks what changed, and plays."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StorageError
from pipeline.image import encode_jpeg
from pipeline.model import Detections
from stages.compare import Compared, changes, write_compare
from stages.compare_picture import CAPTION_HEIGHT, Marks, card, panel, panel_height, with_caption
from stages.ledger_report import FrameRow
from stages.outputs import OutputFolders
from stages.webm import WebmWriter, read_ivf

NAMES = ("person", "helmet")


def seen(*rows: tuple[float, float, float, float, int], names: tuple[str, ...] = NAMES) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], np.full(len(rows), 0.5, np.float32), table[:, 4].astype(np.int32), names)


BOX = (10, 10, 50, 50, 0)
OTHER = (60, 10, 100, 50, 1)
NONE = seen()


def row(seq: int, edge: Detections = NONE, joint: Detections = NONE, ending: str | None = "easy") -> FrameRow:
    hard = ending != "easy"
    return FrameRow("gate", seq, seq / 25, 320, 180, hard, "score 0.5 < 0.9", ending, "", edge, joint, frozenset())


@pytest.fixture
def folders(tmp_path: Path) -> OutputFolders:
    folders = OutputFolders.under(tmp_path / "out")
    for folder in folders:
        folder.mkdir(parents=True)
    return folders


def write_picture(folder: Path, seq: int, value: int) -> None:
    (folder / f"{seq}.jpeg").write_bytes(encode_jpeg(np.full((180, 320, 3), value, np.uint8), 90))


def read_video(path: Path) -> tuple[list[np.ndarray], list[float]]:
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames, times = [], []
    while (got := video.read())[0]:
        frames.append(got[1])
        times.append(video.get(cv2.CAP_PROP_POS_MSEC))
    video.release()
    return frames, times


def test_the_same_boxes_have_not_changed() -> None:
    added, removed = changes(seen(BOX, OTHER), seen(OTHER, BOX))
    assert added.tolist() == removed.tolist() == []


def test_boxes_that_came_and_went_are_named() -> None:
    added, removed = changes(seen(BOX, (200, 0, 240, 40, 0)), seen(OTHER, BOX))
    assert (added.tolist(), removed.tolist()) == ([0], [1])


def test_another_class_in_the_same_place_is_a_change() -> None:
    added, removed = changes(seen(BOX), seen((*BOX[:4], 1)))
    assert (added.tolist(), removed.tolist()) == ([0], [0])


def test_classes_are_told_by_name_and_not_by_number() -> None:
    added, removed = changes(seen(BOX), seen((*BOX[:4], 1), names=("helmet", "person")))
    assert added.tolist() == removed.tolist() == []


def test_one_box_is_the_partner_of_one_only() -> None:
    added, removed = changes(seen(BOX), seen(BOX, (11, 11, 51, 51, 0)))
    assert (added.tolist(), removed.tolist()) == ([1], [])


def test_half_an_overlap_is_the_same_and_less_is_not() -> None:
    added, _ = changes(seen((0, 0, 10, 10, 0)), seen((0, 0, 10, 5, 0)))
    assert added.tolist() == []
    added, _ = changes(seen((0, 0, 10, 10, 0)), seen((0, 0, 10, 4.9, 0)))
    assert added.tolist() == [0]


corner = st.integers(0, 60)
box = st.tuples(corner, corner, corner, corner, st.integers(0, 1)).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]), b[4])
)
some = st.lists(box, max_size=6).map(lambda rows: seen(*rows))


@given(some, some)
def test_changes_add_up_and_leave_no_pair(edge: Detections, joint: Detections) -> None:
    added, removed = changes(edge, joint)
    assert len(edge) - len(removed) + len(added) == len(joint)
    assert len(set(added.tolist())) == len(added)
    for i in removed.tolist():
        for j in added.tolist():
            assert edge.labels[i] != joint.labels[j] or iou(edge.boxes[i], joint.boxes[j]) < 0.5


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = float(max(width, 0) * max(height, 0))
    total = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - shared
    return shared / total if total else 0.0


@given(some)
def test_against_nothing_everything_has_changed(boxes: Detections) -> None:
    assert [index.tolist() for index in changes(NONE, boxes)] == [list(range(len(boxes))), []]
    assert [index.tolist() for index in changes(boxes, NONE)] == [[], list(range(len(boxes)))]


def magenta(picture: np.ndarray) -> int:
    return int((np.abs(picture.astype(int) - (255, 0, 255)).max(axis=2) < 60).sum())


def test_only_the_boxes_that_changed_are_marked() -> None:
    picture = np.zeros((180, 320, 3), np.uint8)
    nothing, first = np.zeros(0, np.intp), np.zeros(1, np.intp)
    assert magenta(panel(picture, Marks(seen(BOX), nothing, "+"), 320, 360)) == 0
    marked = panel(picture, Marks(seen(BOX), first, "+"), 320, 360)
    assert marked.shape == (360, 640, 3)
    # The box is doubled with its picture: its left edge, three pixels out, is at 2 x 10 - 3.
    assert magenta(marked[60:61, 17:18]) == 1
    assert picture.max() == 0


def test_marks_fit_a_picture_that_was_decoded_smaller() -> None:
    whole, half = np.zeros((180, 320, 3), np.uint8), np.zeros((90, 160, 3), np.uint8)
    marks = Marks(seen(BOX), np.zeros(1, np.intp), "-")
    assert np.array_equal(panel(whole, marks, 320, 360), panel(half, marks, 320, 360))


@pytest.mark.parametrize(
    ("size", "height"), [((320, 180), 360), ((1920, 1080), 360), ((1080, 1920), 720), ((1000, 563), 360), ((0, 0), 360)]
)
def test_panels_have_the_shape_of_the_source_in_even_numbers(size: tuple[int, int], height: int) -> None:
    assert panel_height(*size) == height


def test_a_long_text_is_cut_and_a_strange_letter_does_no_harm() -> None:
    side = np.zeros((100, 640, 3), np.uint8)
    picture = with_caption(side, side, [("gäte " * 100, "x"), ("", "")])
    assert picture.shape == (100 + CAPTION_HEIGHT, 1280, 3)
    assert np.unique(picture[:CAPTION_HEIGHT, 634:646]).size == 1
    assert np.unique(card("because", 100)).size > 1


def test_the_video_holds_what_changed_and_can_be_read_back(folders: OutputFolders, tmp_path: Path) -> None:
    rows = [row(1), row(11, seen(BOX), seen(BOX, OTHER), "cloud"), row(21), row(31, seen(BOX), seen(BOX), "cloud")]
    for number, frame in enumerate(rows):
        write_picture(folders.all, frame.seq, 40 * number)
        write_picture(folders.hard_edge, frame.seq, 40 * number + 100)
    path, done = tmp_path / "compare.webm", []
    assert write_compare(iter(rows), folders, path, 2.5, progress=done.append) == Compared(4, 1)
    assert done == [1, 2, 3, 4]
    frames, times = read_video(path)
    assert [frame.shape for frame in frames] == [(360 + CAPTION_HEIGHT, 1280, 3)] * 4
    assert times == pytest.approx([0, 400, 1900, 2300])
    for number, frame in enumerate(frames):
        left, right = (int(frame[250, column].mean()) for column in (320, 960))
        assert abs(right - 40 * number) < 8
        assert abs(left - (40 * number + 100 * rows[number].hard)) < 8
    assert magenta(frames[0]) == 0
    assert magenta(frames[1][:, :640]) == 0
    assert magenta(frames[1][:, 640:]) > 100
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["compare.webm"]


def test_the_same_frames_give_the_same_bytes(folders: OutputFolders, tmp_path: Path) -> None:
    videos = []
    for name in ("a.webm", "b.webm"):
        write_picture(folders.all, 1, 50)
        write_compare([row(1), row(11)], folders, tmp_path / name, 10)
        videos.append((tmp_path / name).read_bytes())
    assert videos[0] == videos[1]


def test_a_missing_or_damaged_picture_is_a_grey_card(folders: OutputFolders, tmp_path: Path) -> None:
    (folders.all / "11.jpeg").write_bytes(b"\xff\xd8 no more")
    assert write_compare([row(1, ending="failed"), row(11)], folders, tmp_path / "c.webm", 10).frames == 2
    frames, _ = read_video(tmp_path / "c.webm")
    for frame in frames:
        assert np.abs(frame[300:400].astype(int) - 96).max() < 8


def test_pictures_of_other_sizes_are_fitted_in(folders: OutputFolders, tmp_path: Path) -> None:
    write_picture(folders.all, 1, 50)
    (folders.all / "2.jpeg").write_bytes(encode_jpeg(np.full((300, 100, 3), 200, np.uint8), 90))
    write_compare([row(1), row(2)], folders, tmp_path / "c.webm", 10)
    frames, _ = read_video(tmp_path / "c.webm")
    assert frames[0].shape == frames[1].shape
    assert frames[1][236, 320].min() > 180


def test_without_frames_there_is_no_video(folders: OutputFolders, tmp_path: Path) -> None:
    assert write_compare([], folders, tmp_path / "c.webm", 10) == Compared(0, 0)
    assert not (tmp_path / "c.webm").exists()


def test_a_folder_that_is_gone_is_a_storage_error(folders: OutputFolders, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone/c\.webm cannot be stored: .*make room"):
        write_compare([row(1)], folders, tmp_path / "gone" / "c.webm", 10)


def test_nothing_is_said_on_stderr(folders: OutputFolders, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_compare([row(1)], folders, tmp_path / "c.webm", 10)
    assert capfd.readouterr() == ("", "")


def test_ivf_is_read_frame_by_frame() -> None:
    header = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"VP80", 2, 2, 10, 1, 2, 0)
    frames = b"".join(struct.pack("<IQ", len(data), at) + data for at, data in enumerate((b"one", b"three")))
    assert list(read_ivf(io.BytesIO(header + frames))) == [b"one", b"three"]
    with pytest.raises(ValueError, match="no IVF"):
        list(read_ivf(io.BytesIO(b"RIFF")))
    with pytest.raises(ValueError, match="its last frame is not all there"):
        list(read_ivf(io.BytesIO((header + frames)[:-1])))


def test_a_long_still_does_not_break_the_clusters() -> None:
    file = io.BytesIO()
    writer = WebmWriter(file, 2, 2)
    for at_ms in (0, 31_000, 95_000):
        writer.add(b"\x01", at_ms)
    writer.close(96_000)
    assert file.getvalue().count(b"\x1f\x43\xb6\x75") == 3
    assert file.getvalue().startswith(b"\x1a\x45\xdf\xa3")
