"""``tandem evaluate``, as a user calls it."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.e2e.user import Tandem, draw_clip

FRAMES, EVERY = 6, 8


@pytest.fixture
def tandem(tmp_path: Path) -> Tandem:
    """The command, beside a few drawn pictures and their labels."""
    video = cv2.VideoCapture(str(draw_clip(tmp_path / "site.mp4", frames=EVERY * FRAMES)))
    for folder in ("photos", "labels"):
        (tmp_path / folder).mkdir()
    for i in range(FRAMES):
        pictures = [video.read()[1] for _ in range(EVERY)]
        cv2.imwrite(str(tmp_path / "photos" / f"{i}.jpg"), pictures[0])
        (tmp_path / "labels" / f"{i}.txt").write_text("0 0.4 0.45 0.16 0.22\n" if i else "")
    video.release()
    return Tandem(tmp_path)


def report(tandem: Tandem, *labels: str) -> tuple[dict[str, Any], str]:
    done = tandem("evaluate", "photos", *labels, "--cache", "cache", "--report", "r.json", "--resamples", "5")
    assert done.exit_code == 0, done.stderr
    return json.loads((tandem.folder / "r.json").read_text()), done.stdout


def test_a_set_is_evaluated_with_labels_and_without_and_looked_at_once(tandem: Tandem) -> None:
    by_people, printed = report(tandem, "--labels", "labels")
    assert (by_people["images"], by_people["labels"]) == (FRAMES, "human")
    assert "by people's labels" in printed
    assert "replaying the miners\n" in printed, "where there is no terminal, people see that it goes on"
    kept = {file: file.stat().st_mtime_ns for file in (tandem.folder / "cache").iterdir()}
    assert len(kept) == 2, "one for each model"

    by_cloud, printed = report(tandem, "--html", "page.html")
    page = (tandem.folder / "page.html").read_text()
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert pictures
    assert all(cv2.imdecode(np.frombuffer(b64decode(one), np.uint8), cv2.IMREAD_COLOR) is not None for one in pictures)
    assert not re.search(r"https?://|<script|<link", page)
    assert by_cloud["labels"] == "cloud model"
    assert "stand in for labels" in printed
    assert kept == {file: file.stat().st_mtime_ns for file in (tandem.folder / "cache").iterdir()}
    assert by_cloud["map50"]["cloud"] == 1.0 > by_cloud["map50"]["edge"]
    assert by_cloud["miners"]["LeastConfidence"]["0.50"]["bytes"] < by_cloud["bytes"]


def test_a_label_that_is_wrong_is_named(tandem: Tandem) -> None:
    missing = tandem("evaluate", "photos", "--labels", "nosuch", "--cache", "unused")
    assert missing.error.startswith("--labels: nosuch cannot be read")
    assert not (tandem.folder / "unused").exists(), "no model has looked"
    (tandem.folder / "labels" / "3.txt").write_text("0 0.5 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n")
    done = tandem("evaluate", "photos", "--labels", "labels", "--cache", "cache")
    assert done.exit_code == 2
    assert done.error.startswith("labels/3.txt, line 2: there are 2 classes (helmet_on, helmet_off)")


@pytest.mark.mosquitto
def test_what_is_tuned_for_a_budget_is_replayed_within_it(tandem: Tandem, mosquitto: str) -> None:
    report(tandem)
    kept = {file: file.stat().st_mtime_ns for file in (tandem.folder / "cache").iterdir()}
    chosen = tandem("tune", "photos", "--cache", "cache", "--budget", "50 %", "--resamples", "5", "-o", "tuned.yaml")
    assert chosen.exit_code == 0, chosen.stderr
    assert "wrote tuned.yaml" in chosen.stdout
    assert kept == {file: file.stat().st_mtime_ns for file in (tandem.folder / "cache").iterdir()}, (
        "no model looked again"
    )

    done = tandem("replay", "photos", "--every", "1", "--config", "tuned.yaml", "--report", "replay.json")
    assert done.exit_code == 0, done.stderr
    assert "budget    photos: 50 %: " in done.stdout
    spent = json.loads((tandem.folder / "replay.json").read_text())["budget"]["photos"]
    assert spent["setting"] == "50 %"
    assert 0 < spent["spent"] <= spent["allowed"] == FRAMES / 2
