"""What an export makes of the folders of runs."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from faster_coco_eval import COCO
from rich.console import Console

from pipeline.app.export import Export, Format, export, stretch_of
from pipeline.errors import ConfigError
from pipeline.messages import ReaderProgress, SourceStatus
from pipeline.model import Counts, Detections, Ending
from stages.ledger import SqliteLedger
from stages.outputs import FolderOutputs, OutputFolders
from tests import examples

NAMES = ("person", "helmet_on", "helmet_off")
HARD = (1, 11, 21, 31, 41, 51, 61, 71, 81, 91)
"""The frames of ``run`` that are sent: of 25 a second, so that each lies in a stretch of its own."""

AUDITED = 41


def boxes(seq: int, names: tuple[str, ...] = NAMES) -> Detections:
    """Two boxes, of which one sticks out on the left, and one has nothing in the picture."""
    corners = np.array([[-4, 8, 12 + seq % 7, 40], [8, 8, 24, 24], [70, 0, 90, 9]], np.float32)
    return Detections(corners, np.array([0.9, 0.4, 0.35], np.float32), np.array([2, 1, 1], np.int32), names)


def run(
    out: Path,
    stream: str = "gate",
    *,
    sent: Sequence[int] = HARD,
    source: str = "gate.mp4",
    live: bool = False,
    folders: OutputFolders | None = None,
    unanswered: Sequence[int] = (),
    names: tuple[str, ...] = NAMES,
    last_seq: int = 96,
) -> None:
    """A run of one stream as its sink leaves it: frames that were sent, those that wait, and an easy one, the last."""
    outputs = FolderOutputs({stream: folders or OutputFolders.under(out)})
    with closing(SqliteLedger(out / "ledger.sqlite", "a test")) as ledger:
        ledger.open(ReaderProgress(stream, "r", "f", source, live, SourceStatus.OPENING, "", Counts()))
        for number, seq in enumerate((*sent, *unanswered, last_seq), 1):
            easy = seq == last_seq
            judged = examples.verdict(hard=not easy and seq != AUDITED)
            first = replace(
                examples.result(seq, stream=stream, ending=Ending.EASY if easy else None),
                verdict=replace(judged, audited=seq == AUDITED),
            )
            written = outputs.edge(first, examples.image(seed=seq))
            ledger.add(first, Counts(read=number, admitted=number), written)
            if not easy and seq not in unanswered:
                last = replace(first, revision=2, ending=Ending.CLOUD, detections=boxes(seq, names), cloud_model="big")
                ledger.end(last, outputs.cloud(last, written.files))
        ledger.commit()


def exported(
    target: Path,
    *outs: Path,
    form: Format = Format.YOLO,
    val: float = 0.2,
    classes: tuple[str, ...] | None = None,
    confidence: float = 0.0,
    stretch_s: float | None = None,
) -> str:
    """Export, and return what people are told."""
    said = StringIO()
    export(outs, Export(form, target, val, stretch_s, classes, confidence), Console(file=said, width=200))
    return said.getvalue()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    run(tmp_path / "out")
    return tmp_path / "out"


def frames(target: Path) -> list[dict[str, str]]:
    with (target / "frames.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_share_that_is_far_from_what_was_asked_for_is_told_with_its_reason(out: Path, tmp_path: Path) -> None:
    said = exported(tmp_path / "half", out, val=0.9, stretch_s=2)
    parts = [row["split"] for row in frames(tmp_path / "half")]
    share = f"{parts.count('val') / len(parts):.0%} of the frames validate, not 90%: whole stretches of time"
    (line,) = [line for line in said.splitlines() if line.startswith("share")]
    assert share in line
    assert "share  " not in exported(tmp_path / "near", out)


def test_yolo_has_a_picture_and_labels_of_each_frame(out: Path, tmp_path: Path) -> None:
    said = exported(tmp_path / "set", out)
    rows = frames(tmp_path / "set")
    assert sorted(int(row["seq"]) for row in rows) == list(HARD)
    for row in rows:
        picture = tmp_path / "set" / "images" / row["split"] / row["file"]
        assert picture.samefile(out / "dataset" / f"{row['seq']}.jpeg")
        labels = tmp_path / "set" / "labels" / row["split"] / f"{Path(row['file']).stem}.txt"
        assert labels.read_text() == (out / "dataset" / f"{row['seq']}.txt").read_text()
        assert labels.read_text().startswith("2 0.")
    parts = [row["split"] for row in rows]
    assert 1 <= parts.count("val") <= 3
    assert f"{parts.count('train')} frames" in said


def test_the_yaml_names_parts_and_classes(out: Path, tmp_path: Path) -> None:
    exported(tmp_path / "set", out)
    data = yaml.safe_load((tmp_path / "set" / "data.yaml").read_text())
    assert data == {"train": "images/train", "val": "images/val", "names": dict(enumerate(NAMES))}


def test_coco_is_read_by_a_coco_library(out: Path, tmp_path: Path) -> None:
    exported(tmp_path / "set", out, form=Format.COCO)
    seqs = []
    for part in ("train", "val"):
        data = COCO(tmp_path / "set" / "annotations" / f"instances_{part}.json")
        assert [category["name"] for category in data.loadCats(data.getCatIds())] == list(NAMES)
        for image in data.loadImgs(data.getImgIds()):
            assert (tmp_path / "set" / part / image["file_name"]).samefile(out / "dataset" / f"{image['seq']}.jpeg")
            assert image["audited"] is (image["seq"] == AUDITED)
            first, second = data.loadAnns(data.getAnnIds(imgIds=[image["id"]]))
            assert first["bbox"] == [0, 8, 12 + image["seq"] % 7, 32]
            assert first["area"] == (12 + image["seq"] % 7) * 32
            assert [data.cats[box["category_id"]]["name"] for box in (first, second)] == ["helmet_off", "helmet_on"]
            seqs.append(image["seq"])
    assert sorted(seqs) == list(HARD)


def test_audited_frames_are_marked(out: Path, tmp_path: Path) -> None:
    said = exported(tmp_path / "set", out, val=0)
    assert [row["seq"] for row in frames(tmp_path / "set") if row["audited"] == "1"] == [str(AUDITED)]
    assert "1 of them easy, and audited" in said


@pytest.mark.parametrize("form", list(Format))
def test_the_same_outputs_give_the_same_set(out: Path, tmp_path: Path, form: Format) -> None:
    def bytes_of(target: Path) -> dict[str, bytes]:
        exported(target, out, form=form)
        return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}

    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_classes_are_chosen_and_ordered_and_weak_boxes_left_out(out: Path, tmp_path: Path) -> None:
    exported(tmp_path / "on", out, val=0, classes=("helmet_on", "person", "helmet_on"))
    exported(tmp_path / "sure", out, val=0, confidence=0.5)
    assert yaml.safe_load((tmp_path / "on" / "data.yaml").read_text())["names"] == {0: "helmet_on", 1: "person"}
    assert (tmp_path / "on/labels/train/gate_1.txt").read_text() == "0 0.250000 0.333333 0.250000 0.333333\n"
    assert (tmp_path / "sure/labels/train/gate_1.txt").read_text().startswith("2 ")
    assert len((tmp_path / "sure/labels/train/gate_1.txt").read_text().splitlines()) == 1


def test_without_validation_the_yaml_has_none(out: Path, tmp_path: Path) -> None:
    exported(tmp_path / "set", out, val=0)
    assert "val" not in yaml.safe_load((tmp_path / "set" / "data.yaml").read_text())
    assert len(list((tmp_path / "set/images/train").iterdir())) == len(HARD)


def test_frames_without_answer_or_picture_are_counted(tmp_path: Path) -> None:
    run(tmp_path / "out", unanswered=(101, 111))
    (tmp_path / "out/dataset/11.jpeg").unlink()
    (tmp_path / "out/dataset/21.jpeg").write_bytes(b"")
    said = exported(tmp_path / "set", tmp_path / "out", val=0)
    assert len(frames(tmp_path / "set")) == len(HARD) - 2
    assert "2 frames without a picture" in said
    assert "2 frames still wait for the cloud" in said


def test_several_runs_with_streams_of_one_name_keep_them_apart(tmp_path: Path) -> None:
    run(tmp_path / "monday", source="monday.mp4")
    run(tmp_path / "tuesday", source="tuesday.mp4")
    exported(tmp_path / "set", tmp_path / "monday", tmp_path / "tuesday", val=0)
    names = {path.name for path in (tmp_path / "set/images/train").iterdir()}
    assert names == {f"gate_{number}_{seq}.jpeg" for number in (1, 2) for seq in HARD}


def test_a_stream_that_is_called_like_another_with_a_number_keeps_its_pictures(tmp_path: Path) -> None:
    for out, stream in (("monday", "gate"), ("tuesday", "gate"), ("wednesday", "gate-1")):
        run(tmp_path / out, stream, source=f"{out}.mp4")
    exported(tmp_path / "set", *(tmp_path / out for out in ("monday", "tuesday", "wednesday")), val=0)
    assert len(list((tmp_path / "set/images/train").iterdir())) == 3 * len(HARD)


def test_class_names_that_yaml_and_json_would_take_for_something_else_stay(tmp_path: Path) -> None:
    odd = ("no", 'a: "b", {c}', "#hèlmet 头盔")
    run(tmp_path / "out", names=odd)
    for form in Format:
        exported(tmp_path / form, tmp_path / "out", form=form, val=0)
    assert yaml.safe_load((tmp_path / "yolo/data.yaml").read_text("utf-8"))["names"] == dict(enumerate(odd))
    table = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text("utf-8"))
    assert [category["name"] for category in table["categories"]] == list(odd)
    (tmp_path / "out/dataset/classes.txt").write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match=r"classes.txt: cannot be read: it is no text"):
        exported(tmp_path / "again", tmp_path / "out")


def test_a_frame_that_two_runs_have_sent_is_there_once(tmp_path: Path) -> None:
    run(tmp_path / "one", sent=HARD[:6])
    run(tmp_path / "two", sent=HARD[3:])
    said = exported(tmp_path / "set", tmp_path / "one", tmp_path / "two", val=0)
    assert sorted(int(row["seq"]) for row in frames(tmp_path / "set")) == list(HARD)
    assert "3 frames the same picture" in said


def test_several_streams_of_a_run(tmp_path: Path) -> None:
    for stream in ("gate", "yard"):
        folders = OutputFolders.under(tmp_path / "out" / stream)
        run(tmp_path / "out", stream, folders=folders, source=f"{stream}.mp4")
    exported(tmp_path / "set", tmp_path / "out", val=0)
    assert {row["stream"] for row in frames(tmp_path / "set")} == {"gate", "yard"}
    assert (tmp_path / "set/images/train/yard_1.jpeg").samefile(tmp_path / "out/yard/dataset/1.jpeg")


def test_streams_that_share_their_pictures_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "out", "gate")
    run(tmp_path / "out", "yard")
    with pytest.raises(ConfigError, match=r"dataset.*of gate and of yard"):
        exported(tmp_path / "set", tmp_path / "out")


def test_a_run_with_outputs_by_sednas_names(tmp_path: Path) -> None:
    run(tmp_path / ".tandem")
    exported(tmp_path / "set", tmp_path, val=0)
    assert len(frames(tmp_path / "set")) == len(HARD)


def test_a_camera_is_split_by_the_time_of_capture(tmp_path: Path) -> None:
    run(tmp_path / "out", live=True)  # its frames were all captured at one moment
    with pytest.raises(ConfigError, match="--val: all 10 frames lie in one stretch"):
        exported(tmp_path / "set", tmp_path / "out")


def test_links_that_cannot_be_made_become_copies(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    exported(tmp_path / "set", out, val=0)
    copy = tmp_path / "set/images/train/gate_1.jpeg"
    assert copy.read_bytes() == (out / "dataset/1.jpeg").read_bytes()
    assert copy.stat().st_nlink == 1


def test_a_target_that_is_there_is_left_alone(out: Path, tmp_path: Path) -> None:
    exported(tmp_path / "set", out)
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"--yolo: .*set is there already"):
        exported(tmp_path / "set", out)
    assert (tmp_path / "set" / "mine.txt").read_text() == "mine"


def test_an_export_that_fails_leaves_nothing(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.app.export.frames_csv", full)
    with pytest.raises(ConfigError, match="set cannot be made: No space left"):
        exported(tmp_path / "set", out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_nothing_to_export_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no ledger"):
        exported(tmp_path / "set", tmp_path / "nowhere")
    run(tmp_path / "easy", sent=())
    with pytest.raises(ConfigError, match="none was sent to the cloud"):
        exported(tmp_path / "set", tmp_path / "easy")
    run(tmp_path / "waits", sent=(), unanswered=(1, 11))
    with pytest.raises(ConfigError, match="2 still wait for the cloud"):
        exported(tmp_path / "set", tmp_path / "waits")
    assert not (tmp_path / "set").exists()


def test_wrong_wishes_are_errors(out: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--classes: there is no class 'hat'; known are person, helmet_on"):
        exported(tmp_path / "set", out, classes=("person", "hat"))
    with pytest.raises(ConfigError, match="is named twice"):
        exported(tmp_path / "set", out, out.parent / "out")
    with pytest.raises(ConfigError, match="one stretch of time"):
        exported(tmp_path / "set", out, stretch_s=3600)
    with pytest.raises(ConfigError, match="--stretch: 'soon' is no time"):
        stretch_of("soon")
    assert stretch_of("5 min") == 300


def test_coco_says_the_same_for_people(out: Path, tmp_path: Path) -> None:
    said = exported(tmp_path / "set", out, form=Format.COCO)
    whole = [json.loads((tmp_path / f"set/annotations/instances_{part}.json").read_text()) for part in ("train", "val")]
    for part, data in zip(("train", "val"), whole, strict=True):
        (line,) = [line for line in said.splitlines() if line.startswith(part)]
        assert f"{len(data['images'])} frames" in line


def test_bursts_in_a_long_clip_stay_whole(tmp_path: Path) -> None:
    bursts = (*range(251, 261), *range(751, 761))
    run(tmp_path / "out", sent=bursts, last_seq=2501)
    exported(tmp_path / "set", tmp_path / "out")
    parts = {int(row["seq"]): row["split"] for row in frames(tmp_path / "set")}
    assert sorted(parts) == list(bursts)
    assert {len({parts[seq] for seq in burst}) for burst in (bursts[:10], bursts[10:])} == {1}
    assert set(parts.values()) == {"train", "val"}
