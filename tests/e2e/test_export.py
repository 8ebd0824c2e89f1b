"""``tandem export``: from a replay's outputs to a training set."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from faster_coco_eval import COCO

from tests.e2e.refused import refused
from tests.e2e.user import Replay, Tandem

pytestmark = pytest.mark.mosquitto


def test_a_replays_hard_frames_become_a_yolo_set(undisturbed: Replay, tandem: Tandem, tmp_path: Path) -> None:
    ran = tandem("export", undisturbed.out.folder, "--yolo", "set")
    assert ran.exit_code == 0, ran
    answered = [row["seq"] for row in undisturbed.out.rows() if row["ending"] == "cloud"]
    data = yaml.safe_load((tmp_path / "set/data.yaml").read_text())
    assert list(data["names"].values()) == (undisturbed.out.folder / "dataset/classes.txt").read_text().splitlines()
    seqs = []
    for part in ("train", "val"):
        pictures = sorted((tmp_path / "set" / data[part]).iterdir())
        assert pictures
        for picture in pictures:
            seq = int(picture.stem.partition("_")[2])
            labels = tmp_path / "set" / "labels" / part / f"{picture.stem}.txt"
            assert labels.read_text() == (undisturbed.out.folder / "dataset" / f"{seq}.txt").read_text()
            assert picture.read_bytes() == (undisturbed.out.folder / "dataset" / f"{seq}.jpeg").read_bytes()
            seqs.append(seq)
    assert set(seqs) <= set(answered)
    assert len(seqs) > 0.7 * len(answered)


def test_a_replays_hard_frames_become_a_coco_set(undisturbed: Replay, tandem: Tandem, tmp_path: Path) -> None:
    ran = tandem("export", undisturbed.out.folder, "--coco", "set", "--val", "0")
    assert ran.exit_code == 0, ran
    data = COCO(tmp_path / "set/annotations/instances_train.json")
    answered = [row["seq"] for row in undisturbed.out.rows() if row["ending"] == "cloud"]
    assert [image["seq"] for image in data.loadImgs(data.getImgIds())] == answered
    assert not (tmp_path / "set/val").exists()


def test_wrong_calls_say_what_would_be_right(tmp_path: Path) -> None:
    for arguments, error in (
        ((), "--yolo: name one new folder, with --yolo or with --coco"),
        (("--yolo", "a", "--coco", "b"), "--yolo: name one new folder, with --yolo or with --coco"),
        (("--yolo", "a"), "tandem-out/ledger.sqlite: there is no ledger; name the folder that a run wrote with --out"),
    ):
        ran = refused(tmp_path, "export", *arguments)
        assert (ran.exit_code, ran.error) == (2, error)
    assert list(tmp_path.glob("[ab]*")) == []
