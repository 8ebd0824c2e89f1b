"""``sink.keep`` as a user sees it: the newest pictures are there, the ledger has all frames, none is read again."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from tests.e2e.user import SEQS, SETTINGS, STREAM, Out, Tandem, balances

pytestmark = [pytest.mark.mosquitto, pytest.mark.usefixtures("mosquitto_sub")]

KEPT_KIB = 150


def disk_kib(out: Out) -> float:
    """What ``du`` says of the pictures."""
    names = (name for folder in ("all", "hard_*", "dataset") for name in out.folder.glob(f"{folder}/[0-9]*"))
    return sum({path.stat().st_ino: path.stat().st_blocks for path in names}.values()) / 2


def test_the_oldest_pictures_go_and_the_ledger_has_every_frame(tandem: Tandem, clip: Path) -> None:
    out = Out(tandem.folder / "out")
    keep = ("--set", f"sink.keep={KEPT_KIB}KiB")
    command = ("replay", clip, "--out", "out", *SETTINGS, *keep, "--report", "report.json")
    ran = tandem(*command)
    assert ran.exit_code == 0, ran
    rows = out.rows(times=True)
    assert [row["seq"] for row in rows] == list(SEQS)
    assert balances(out.tally())
    gone = [row["seq"] for row in rows if row["removed_ns"]]
    there = [seq for seq in SEQS if seq not in gone]
    assert gone
    assert out.seqs("all") == there
    assert set(out.seqs("dataset")) <= set(there)
    assert not {int(path.stem) for path in (out.folder / "dataset").glob("[0-9]*.txt")} & set(gone)
    report = json.loads((tandem.folder / "report.json").read_text())["pictures"][STREAM]
    kept_bytes = sum(row["size_bytes"] for row in rows if not row["removed_ns"])
    assert report == {"removed_frames": len(gone), "kept_bytes": kept_bytes}
    assert KEPT_KIB / 2 < kept_bytes / 1024 == disk_kib(out) <= KEPT_KIB
    assert f"those of {len(gone)} older frames are removed (sink.keep)" in ran.stdout
    assert cv2.VideoCapture(str(out.folder / "compare.webm")).grab()

    again = tandem(*command)
    assert again.exit_code == 0, again
    assert out.rows(times=True) == rows
    assert out.seqs("all") == there
