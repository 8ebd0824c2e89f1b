"""Sedna's ``mining-then-inference``, for video and pictures: the edge's model leaves out what goes to the cloud."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.e2e.user import Out, Tandem, balances

pytestmark = pytest.mark.mosquitto


def test_pictures_that_are_blurred_go_to_the_cloud_unseen(clip: Path, tandem: Tandem, tmp_path: Path) -> None:
    """Of a folder: every second picture is blurred, and one is no picture that anybody can read."""
    video = cv2.VideoCapture(str(clip))
    (tmp_path / "photos").mkdir()
    for number in range(1, 7):
        picture = np.asarray(video.read()[1], np.uint8)
        noisy = cv2.add(picture, np.random.default_rng(number).integers(0, 60, picture.shape, np.uint8))
        shown = cv2.GaussianBlur(noisy, (0, 0), 4) if number % 2 else noisy
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), shown)
    video.release()
    sedna = {"MINING_MODE": "mining-then-inference", "HEM_NAME": "Blur"}
    command = ("replay", "photos", "--every", "1", "--out", "out", "--report", "report.json", "--set", "audit.share=0")
    ran = tandem(*command, env=sedna)
    assert ran.exit_code == 0, ran
    rows = Out(tmp_path / "out").rows()
    assert [(row["seq"], row["ending"]) for row in rows] == [
        (seq, "cloud" if seq % 2 else "easy") for seq in range(1, 7)
    ]
    for row in rows:
        assert row["edge_model"] == ("" if row["hard"] else "little")
        if row["hard"]:
            assert row["edge_boxes"] == "[]"
            assert row["verdict"].endswith("; the edge's model has not looked at it")
            assert (row["came"], row["went"], row["cloud_model"]) == (None, None, "big")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["models"]["edge"].startswith("little")
    assert "the big model corrected" not in ran.stdout
    assert all(balances(tally) for tally in report["streams"].values())


def test_in_a_video_what_moves_goes_to_the_cloud_unseen_in_each_shape(
    clip: Path, tandem: Tandem, tmp_path: Path
) -> None:
    moving = ("--every", "6", "--miner", "Motion", "--set", "miner.mode=mining-then-inference", "--no-compare")
    found = []
    for shape in ((), ("--split",)):
        out = f"out{len(found)}"
        ran = tandem("replay", clip, "--out", out, *moving, *shape)
        assert ran.exit_code == 0, ran
        rows = Out(tmp_path / out).rows()
        found.append([(row["seq"], row["ending"], row["edge_model"]) for row in rows])
    assert found[0] == found[1]
    assert found[0][0][1:] == ("easy", "little"), "the first frame has none before it"
    assert {ending for _, ending, _ in found[0][1:]} == {"cloud"}
    assert {model for _, _, model in found[0][1:]} == {""}


def test_a_miner_of_boxes_is_refused(clip: Path, tandem: Tandem) -> None:
    ran = tandem("replay", clip, "--set", "miner.mode=mining-then-inference")
    assert ran.exit_code == 2
    assert ran.error.startswith("miner.name: LeastConfidence judges by boxes")
