"""A replay that is finished is known for it, as long as nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.app.finished import Finished
from pipeline.app.places import Places
from pipeline.app.report import Report, Run
from pipeline.config import Config, validated
from tests.unit.test_export import run

RUN = Run(2.5, 11, {"edge": 1.5}, {"edge": 1 << 20}, {"edge": "little on CPUExecutionProvider"})


def config(folder: Path, **settings: Any) -> Config:
    return validated(
        {"streams": {"gate": {"source": str(folder / "gate.mp4")}}, "sink": {"out": folder / "out"}, **settings}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished replay of ``gate.mp4``."""
    (tmp_path / "gate.mp4").write_bytes(b"a video")
    run(tmp_path / "out")
    places = Places.of(config(tmp_path))
    finished = Finished.of(config(tmp_path), Report.read(places, RUN, {}))
    assert finished
    finished.with_video_of("gate").keep(places.finished)
    return tmp_path


def test_what_was_kept_is_read_with_the_report_of_then(folder: Path) -> None:
    found = Finished.read(config(folder), Places.of(config(folder)))
    assert found
    finished, report = found
    assert finished.compared == ["gate"]
    assert report.run == RUN
    assert report.streams["gate"].tally.admitted == 11


def grow(folder: Path) -> None:
    (folder / "gate.mp4").write_bytes(b"a video, and more")


def lose_ledger(folder: Path) -> None:
    (folder / "out/ledger.sqlite").unlink()


def damage(folder: Path) -> None:
    (folder / "out/finished.json").write_text("{}")


@pytest.mark.parametrize("change", [grow, lose_ledger, damage])
def test_what_has_changed_is_not_finished(folder: Path, change: Callable[[Path], None]) -> None:
    change(folder)
    assert Finished.read(config(folder), Places.of(config(folder))) is None


@pytest.mark.parametrize(
    "settings", [{"miner": {"name": "CloudOnly"}}, {"reader": {"every": 2}}, {"sink": {"keep": "1 day"}}], ids=str
)
def test_another_config_is_not_finished(folder: Path, settings: dict[str, Any]) -> None:
    sink = {"out": folder / "out", **settings.pop("sink", {})}
    assert Finished.read(config(folder, sink=sink, **settings), Places.of(config(folder))) is None


def test_who_waits_or_never_ends_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "gate.mp4").write_bytes(b"a video")
    run(tmp_path / "out", unanswered=(5,))
    waits = config(tmp_path)
    assert Finished.of(waits, Report.read(Places.of(waits), RUN, {})) is None
    run(tmp_path / "camera", live=True, source="rtsp://cam/1")
    camera = config(tmp_path, streams={"gate": {"source": "rtsp://cam/1"}}, sink={"out": tmp_path / "camera"})
    assert Finished.of(camera, Report.read(Places.of(camera), RUN, {})) is None
