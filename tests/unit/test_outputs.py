"""Pictures appear whole or not at all, in the folders and formats that are promised."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError, DropMessage, StorageError
from pipeline.image import FileImage, Image, decode_jpeg, encode_jpeg
from pipeline.messages import Result
from pipeline.model import Detections, Ending, FrameId, Verdict
from stages.explanation import explanation
from stages.ledger import SqliteLedger
from stages.outputs import FolderOutputs, OutputFolders, remove_outputs, yolo_labels
from stages.vision.draw import draw_boxes

NAMES = ("person", "helmet")
EDGE = Detections(np.array([[8, 8, 40, 40]], np.float32), np.array([0.9], np.float32), np.array([1], np.int32), NAMES)
CLOUD = Detections(np.array([[4, 6, 36, 30]], np.float32), np.array([0.8], np.float32), np.array([0], np.int32), NAMES)
NONE = Detections.empty(NAMES)


def picture(seed: int = 0) -> Image:
    return Image(pixels=np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8))


def result(seq: int = 1, revision: int = 1, ending: Ending | None = None, detections: Detections = EDGE) -> Result:
    return Result(
        id=FrameId("gate", seq),
        revision=revision,
        ending=ending,
        reason="",
        source="edge",
        captured_ns=1,
        media_s=0,
        width=64,
        height=48,
        detections=detections,
        verdict=Verdict(ending is not Ending.EASY, "IBT", None, None, ""),
        edge_model="little",
        cloud_model=None,
        worker=None,
        latency_ms=1,
        upload_bytes=0,
        steps_ms={},
    )


@pytest.fixture
def folders(tmp_path: Path) -> OutputFolders:
    return OutputFolders.under(tmp_path)


@pytest.fixture
def outputs(folders: OutputFolders) -> FolderOutputs:
    return FolderOutputs({"gate": folders})


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_an_easy_frame_is_drawn_once(outputs: FolderOutputs, tmp_path: Path) -> None:
    image = picture()
    assert outputs.edge(result(1, 1, Ending.EASY), image).files == ("all",)
    assert files(tmp_path) == ["all/1.jpeg"]
    assert (tmp_path / "all/1.jpeg").read_bytes() == encode_jpeg(draw_boxes(image.pixels, EDGE), 85)


def test_a_hard_frame_waits_with_its_untouched_picture(outputs: FolderOutputs, tmp_path: Path) -> None:
    image = picture()
    assert outputs.edge(result(), image).files == ("all", "hard_edge", "dataset")
    assert files(tmp_path) == ["all/1.jpeg", "dataset/1.jpeg", "hard_edge/1.jpeg"]
    assert (tmp_path / "dataset/1.jpeg").read_bytes() == image.jpeg
    assert (tmp_path / "all/1.jpeg").samefile(tmp_path / "hard_edge/1.jpeg")


def test_the_cloud_answers_on_the_picture_that_travelled(outputs: FolderOutputs, tmp_path: Path) -> None:
    image = picture()
    edge = outputs.edge(result(), image).files
    assert outputs.cloud(result(1, 2, Ending.CLOUD, CLOUD), edge).files == ("all", "hard_cloud", "labels")
    expected = encode_jpeg(draw_boxes(decode_jpeg(image.jpeg), CLOUD), 85)
    assert (tmp_path / "hard_cloud/1.jpeg").read_bytes() == expected
    assert (tmp_path / "all/1.jpeg").samefile(tmp_path / "hard_cloud/1.jpeg")
    assert (tmp_path / "hard_edge/1.jpeg").read_bytes() == encode_jpeg(draw_boxes(image.pixels, EDGE), 85)
    assert (tmp_path / "dataset/1.txt").read_text() == "0 0.312500 0.375000 0.500000 0.500000\n"
    assert (tmp_path / "dataset/classes.txt").read_text() == "person\nhelmet\n"


def test_each_picture_explains_itself_where_that_is_wanted(folders: OutputFolders, tmp_path: Path) -> None:
    image, why = picture(), explanation(result().verdict)
    edge = FolderOutputs({"gate": folders}, explain=True).edge(result(), image).files
    restarted = FolderOutputs({"gate": folders}, explain=True)
    restarted.cloud(result(1, 2, Ending.CLOUD, CLOUD), edge)
    assert (tmp_path / "dataset/1.jpeg").read_bytes() == image.jpeg
    assert (tmp_path / "hard_edge/1.jpeg").read_bytes() == encode_jpeg(draw_boxes(image.pixels, EDGE, why), 85)
    expected = encode_jpeg(draw_boxes(decode_jpeg(image.jpeg), CLOUD, why), 85)
    assert (tmp_path / "hard_cloud/1.jpeg").read_bytes() == expected
    assert expected != encode_jpeg(draw_boxes(decode_jpeg(image.jpeg), CLOUD), 85)
    assert (tmp_path / "all/1.jpeg").samefile(tmp_path / "hard_cloud/1.jpeg")


@pytest.mark.parametrize("ending", [Ending.EXPIRED, Ending.FAILED])
def test_without_an_answer_the_edge_stays(outputs: FolderOutputs, tmp_path: Path, ending: Ending) -> None:
    edge = outputs.edge(result(), picture()).files
    before = (tmp_path / "all/1.jpeg").read_bytes()
    assert outputs.cloud(result(1, 2, ending), edge).files == ("all",)
    assert (tmp_path / "all/1.jpeg").read_bytes() == before
    assert files(tmp_path) == ["all/1.jpeg", "dataset/1.jpeg", "hard_edge/1.jpeg"]


def test_nothing_seen_by_the_cloud_is_a_label_too(outputs: FolderOutputs, tmp_path: Path) -> None:
    edge = outputs.edge(result(), picture()).files
    outputs.cloud(result(1, 2, Ending.CLOUD, NONE), edge)
    assert (tmp_path / "dataset/1.txt").read_text() == ""


def test_a_frame_without_a_picture_gets_none_later(outputs: FolderOutputs, tmp_path: Path) -> None:
    assert outputs.cloud(result(1, 2, Ending.FAILED), ()).files == ()
    assert files(tmp_path) == []


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_picture_that_somebody_took_away_harms_nothing(outputs: FolderOutputs, tmp_path: Path, damage: str) -> None:
    edge = outputs.edge(result(), picture()).files
    path = tmp_path / "dataset/1.jpeg"
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:10])
    assert outputs.cloud(result(1, 2, Ending.CLOUD, CLOUD), edge).files == ("all",)
    assert not (tmp_path / "hard_cloud/1.jpeg").exists()


def test_writing_again_replaces_with_the_same_bytes(outputs: FolderOutputs, tmp_path: Path) -> None:
    def run() -> dict[str, bytes]:
        edge = outputs.edge(result(), picture()).files
        outputs.cloud(result(1, 2, Ending.CLOUD, CLOUD), edge)
        return {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}

    first = run()
    assert run() == first
    assert len(first) == 6


def test_paths_name_the_files(outputs: FolderOutputs, tmp_path: Path) -> None:
    paths = outputs.paths(FrameId("gate", 7), ("all", "hard_cloud", "labels"))
    assert paths == {
        "all": str(tmp_path / "all/7.jpeg"),
        "hard_cloud": str(tmp_path / "hard_cloud/7.jpeg"),
        "labels": str(tmp_path / "dataset/7.txt"),
    }


def test_a_stream_without_a_folder_is_dropped(outputs: FolderOutputs) -> None:
    with pytest.raises(DropMessage, match="no folder for the stream 'other'"):
        outputs.edge(replace(result(), id=FrameId("other", 1)), picture())


def test_a_full_disk_leaves_nothing_half_written(
    outputs: FolderOutputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def full(file: int, data: bytes) -> int:
        if "hard_edge" in Path(f"/proc/self/fd/{file}").readlink().parts:
            write(file, data[:5])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError, match=r"hard_edge/1\.jpeg cannot be stored: No space left on device; make room"):
        outputs.edge(result(), picture())
    assert files(tmp_path) == []


def test_a_picture_that_lies_on_disk_already_is_linked(outputs: FolderOutputs, tmp_path: Path) -> None:
    image = picture()
    image.file = tmp_path / "outbox.jpeg"
    image.file.write_bytes(image.jpeg)
    outputs.edge(result(), image)
    assert (tmp_path / "dataset/1.jpeg").samefile(image.file)
    outputs.edge(result(), image)  # again, as after a restart
    assert (tmp_path / "dataset/1.jpeg").samefile(image.file)
    outputs.edge(result(3), FileImage(image.file, 64, 48, len(image.jpeg)))
    assert (tmp_path / "dataset/3.jpeg").samefile(image.file)
    image.file.unlink()
    assert (tmp_path / "dataset/1.jpeg").read_bytes() == image.jpeg
    outputs.edge(result(2), image)
    assert (tmp_path / "dataset/2.jpeg").read_bytes() == image.jpeg


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.ENOTSUP])
def test_where_there_are_no_hard_links_there_are_copies(
    outputs: FolderOutputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(code, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    image = picture()
    image.file = tmp_path / "outbox.jpeg"
    image.file.write_bytes(image.jpeg)
    outputs.edge(result(), image)
    assert (tmp_path / "dataset/1.jpeg").read_bytes() == image.jpeg
    assert (tmp_path / "all/1.jpeg").read_bytes() == (tmp_path / "hard_edge/1.jpeg").read_bytes()
    assert not (tmp_path / "all/1.jpeg").samefile(tmp_path / "hard_edge/1.jpeg")


def test_what_a_killed_process_left_is_removed_at_the_start(folders: OutputFolders, tmp_path: Path) -> None:
    FolderOutputs({"gate": folders})
    (tmp_path / "all/.12.jpeg.part").write_bytes(b"half")
    (tmp_path / "dataset/.classes.txt.part").write_bytes(b"half")
    (tmp_path / "all/.mine.part").write_bytes(b"a stranger's")
    FolderOutputs({"gate": folders})
    assert files(tmp_path) == ["all/.mine.part"]


def test_a_folder_that_cannot_be_written_is_named(folders: OutputFolders, tmp_path: Path) -> None:
    (tmp_path / "hard_cloud").write_text("in the way")
    with pytest.raises(ConfigError, match=r"/hard_cloud: cannot be written: .*choose another folder"):
        FolderOutputs({"gate": folders})


def test_what_a_revision_adds_is_what_the_disk_says(outputs: FolderOutputs, tmp_path: Path) -> None:
    def used() -> int:
        found = {path.stat().st_ino: path.stat() for path in tmp_path.rglob("*.*") if path.name != "classes.txt"}
        return sum(-(-stat.st_size // 4096) * 4096 for stat in found.values())

    image = Image(pixels=np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8))
    edge = outputs.edge(result(1), image)
    assert edge.size_bytes == used() > 8192
    cloud = outputs.cloud(result(1, 2, Ending.CLOUD, CLOUD), edge.files)
    assert edge.size_bytes + cloud.size_bytes == used()
    easy = outputs.edge(result(2, 1, Ending.EASY), image)
    assert edge.size_bytes + cloud.size_bytes + easy.size_bytes == used()
    assert outputs.cloud(result(1, 2, Ending.EXPIRED), edge.files).size_bytes == 0


def test_all_files_of_a_frame_are_removed_and_no_others(outputs: FolderOutputs, tmp_path: Path) -> None:
    for seq in (1, 2):
        edge = outputs.edge(result(seq), picture())
        cloud = outputs.cloud(result(seq, 2, Ending.CLOUD, CLOUD), edge.files)
    everything = files(tmp_path)
    for _ in range(2):
        outputs.remove(FrameId("gate", 1), {*edge.files, *cloud.files})
        assert files(tmp_path) == [path for path in everything if Path(path).stem != "1"]


def test_a_file_that_cannot_be_removed_is_named(
    outputs: FolderOutputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StorageError, match=r"/all/1\.jpeg cannot be removed: Read-only file system"):
        outputs.remove(FrameId("gate", 1), ("all",))


def test_what_lies_on_a_disk_that_is_not_there_is_not_taken_for_removed(outputs: FolderOutputs, tmp_path: Path) -> None:
    outputs.edge(result(1, 1, Ending.EASY), picture())
    tmp_path.rename(tmp_path.with_name("away"))
    with pytest.raises(StorageError, match="mount its disk again"):
        outputs.remove(FrameId("gate", 1), ("all",))


def test_a_folder_without_room_is_no_wrong_setting(
    folders: OutputFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FolderOutputs({"gate": folders})
    left = tmp_path / "all" / ".12.jpeg.part"
    left.write_bytes(b"half")

    def full(path: Path, data: bytes) -> int:
        assert not left.exists(), "what takes the room goes first"
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match=r"/all cannot be stored: No space left on device; make room on its disk"):
        FolderOutputs({"gate": folders})
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "make room on its disk"),
        (errno.EROFS, "mount its disk writable again"),
        (errno.EACCES, "make its folder writable for us"),
        (errno.EIO, "see to its disk"),
    ],
)
def test_the_remedy_is_that_of_the_error(
    outputs: FolderOutputs, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=f"{os.strerror(code)}; {remedy}"):
        outputs.edge(result(), picture())


def test_a_folder_that_somebody_removed_is_made_again(outputs: FolderOutputs, tmp_path: Path) -> None:
    edge = outputs.edge(result(1), picture()).files
    outputs.cloud(result(1, 2, Ending.CLOUD, CLOUD), edge)
    for folder in ("all", "dataset"):
        shutil.rmtree(tmp_path / folder)
    edge = outputs.edge(result(2), picture()).files
    assert outputs.cloud(result(2, 2, Ending.CLOUD, CLOUD), edge).files == ("all", "hard_cloud", "labels")
    assert [path for path in files(tmp_path) if not path.startswith("hard")] == [
        "all/2.jpeg",
        "dataset/2.jpeg",
        "dataset/2.txt",
        "dataset/classes.txt",
    ]


@pytest.mark.parametrize("revision", [1, 2])
def test_a_folder_that_is_gone_with_its_disk_is_waited_for(
    outputs: FolderOutputs, tmp_path: Path, revision: int
) -> None:
    edge = outputs.edge(result(1), picture()).files
    away = tmp_path.with_name(f"{tmp_path.name}-away")
    tmp_path.rename(away)
    with pytest.raises(StorageError, match="No such file or directory; make its folder again, or mount its disk"):
        outputs.edge(result(2), picture()) if revision == 1 else outputs.cloud(result(1, 2, Ending.CLOUD), edge)
    away.rename(tmp_path)
    assert outputs.cloud(result(1, 2, Ending.CLOUD, CLOUD), edge).files == ("all", "hard_cloud", "labels")


def test_nothing_is_made_on_the_disk_that_is_found_in_place_of_ours(
    outputs: FolderOutputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "all")
    monkeypatch.setattr(outputs._there, "_disks", dict.fromkeys(outputs._there._disks, -1))
    with pytest.raises(StorageError, match=r"all cannot be stored: No such file"):
        outputs.edge(result(1, 1, Ending.EASY), picture())
    assert not (tmp_path / "all").exists()
    (tmp_path / "all").mkdir()
    with pytest.raises(StorageError, match="lies on another disk than it did"):
        outputs._there.restore(tmp_path / "all")


def test_two_outputs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is given for two outputs"):
        OutputFolders(tmp_path / "a", tmp_path / "b", tmp_path / "x/../a", tmp_path / "d")


def test_classes_keep_their_numbers_when_models_differ(folders: OutputFolders, tmp_path: Path) -> None:
    for names, seq in ((("helmet", "person"), 1), (("person", "vest"), 2)):
        outputs = FolderOutputs({"gate": folders})
        edge = outputs.edge(result(seq), picture()).files
        seen = Detections(CLOUD.boxes, CLOUD.scores, np.array([1], np.int32), names)
        outputs.cloud(result(seq, 2, Ending.CLOUD, seen), edge)
    assert (tmp_path / "dataset/classes.txt").read_text() == "helmet\nperson\nvest\n"
    assert (tmp_path / "dataset/1.txt").read_text().startswith("1 ")
    assert (tmp_path / "dataset/2.txt").read_text().startswith("2 ")


@given(st.lists(st.tuples(*[st.floats(-50, 150, width=32)] * 4), max_size=6))
def test_labels_lie_in_the_picture(corners: list[tuple[float, ...]]) -> None:
    boxes = np.array(corners, np.float32).reshape(-1, 4)
    n = len(boxes)
    seen = Detections(boxes, np.ones(n, np.float32), np.zeros(n, np.int32), NAMES)
    for line in yolo_labels(seen, NAMES, 64, 48).splitlines():
        label, cx, cy, w, h = map(float, line.split())
        assert label == 0
        assert w >= 0
        assert h >= 0
        assert min(cx - w / 2, cy - h / 2) >= -1e-5
        assert max(cx + w / 2, cy + h / 2) <= 1 + 1e-5


def test_a_box_outside_of_the_picture_is_no_label() -> None:
    outside = Detections(np.array([[70, 5, 90, 9]], np.float32), CLOUD.scores, CLOUD.labels, NAMES)
    assert yolo_labels(outside, NAMES, 64, 48) == ""


def test_fresh_removes_what_is_ours_and_nothing_else(
    outputs: FolderOutputs, folders: OutputFolders, tmp_path: Path
) -> None:
    outputs.cloud(result(1, 2, Ending.CLOUD, CLOUD), outputs.edge(result(), picture()).files)
    ledger = tmp_path / "ledger.sqlite"
    SqliteLedger(ledger, "me").close()
    (tmp_path / "compare.webm").write_bytes(b"ours")
    strangers = ["all/holiday.jpeg", "all/01.jpeg", "all/2.txt", "all/sub/3.jpeg", "dataset/notes.txt", "1.jpeg"]
    for name in strangers:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"theirs")
    remove_outputs([folders], ledger, [tmp_path / "compare.webm"])
    assert files(tmp_path) == sorted(strangers)


def test_fresh_leaves_a_run_that_goes_on_alone(outputs: FolderOutputs, folders: OutputFolders, tmp_path: Path) -> None:
    outputs.edge(result(), picture())
    ledger = SqliteLedger(tmp_path / "ledger.sqlite", "tandem edge, process 4711 on host x")
    before = files(tmp_path)
    with pytest.raises(ConfigError, match="is used by tandem edge, process 4711 on host x"):
        remove_outputs([folders], ledger.path)
    assert files(tmp_path) == before
    ledger.close()


def test_fresh_without_an_earlier_run_does_nothing(tmp_path: Path) -> None:
    remove_outputs([OutputFolders.under(tmp_path / "new")], tmp_path / "new" / "ledger.sqlite")
    assert files(tmp_path) == []
