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
from stages.outputs import OutputFolders
from tests.unit.test_export import run

RUN = Run(2.5, 11, {"edge": 1.5}, {"edge": 4 << 20}, {"edge": "little on CPUExecutionProvider"})
LATER = Run(5.0, 11, {"edge": 2.0, "worker-1": 3.0}, {"edge": 2 << 20}, {"cloud": "big on CPUExecutionProvider"})


def config(folder: Path, *streams: str, **settings: Any) -> Config:
    sources = {name: {"source": str(folder / f"{name}.mp4")} for name in streams or ("gate",)}
    return validated({"streams": sources, "sink": {"out": folder / "out"}, **settings})


def finish(ran: Config, run: Run, *, interrupted: bool = False) -> Finished:
    """What is known after a run of a config, of which the ledger is there."""
    places = Places.of(ran)
    after = Finished.read(places.finished).after(ran, Report.read(places, run, {}), interrupted=interrupted)
    after.keep(places.finished)
    return after


def known_of(ran: Config) -> Report | None:
    places = Places.of(ran)
    return Finished.read(places.finished).report(ran, places)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished replay of ``gate.mp4``."""
    (tmp_path / "gate.mp4").write_bytes(b"a video")
    run(tmp_path / "out")
    finish(config(tmp_path), RUN).with_video_of("gate").keep(tmp_path / "out/finished.json")
    return tmp_path


def add_yard(folder: Path) -> None:
    """Another stream comes into the same folder."""
    (folder / "yard.mp4").write_bytes(b"another video")
    run(folder / "out", "yard", folders=OutputFolders.under(folder / "out/yard"))


def test_what_was_kept_is_read_with_the_report_of_then(folder: Path) -> None:
    report = known_of(config(folder))
    assert report
    assert Finished.read(folder / "out/finished.json").streams["gate"].compared
    assert report.run == RUN
    assert report.streams["gate"].tally.admitted == 11


def grow(folder: Path) -> None:
    (folder / "gate.mp4").write_bytes(b"a video, and more")


def lose_source(folder: Path) -> None:
    (folder / "gate.mp4").unlink()


def lose_ledger(folder: Path) -> None:
    (folder / "out/ledger.sqlite").unlink()


def damage(folder: Path) -> None:
    (folder / "out/finished.json").write_text("{}")


@pytest.mark.parametrize("change", [grow, lose_source, lose_ledger, damage])
def test_what_has_changed_is_not_finished(folder: Path, change: Callable[[Path], None]) -> None:
    change(folder)
    assert known_of(config(folder)) is None


@pytest.mark.parametrize(
    "settings", [{"miner": {"name": "CloudOnly"}}, {"reader": {"every": 2}}, {"sink": {"keep": "1 day"}}], ids=str
)
def test_another_config_is_not_finished(folder: Path, settings: dict[str, Any]) -> None:
    sink = {"out": folder / "out", **settings.pop("sink", {})}
    assert known_of(config(folder, sink=sink, **settings)) is None


def test_who_waits_or_never_ends_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "gate.mp4").write_bytes(b"a video")
    run(tmp_path / "out", unanswered=(5,))
    assert finish(config(tmp_path), RUN).streams == {}
    run(tmp_path / "camera", live=True, source="rtsp://cam/1")
    camera = config(tmp_path, streams={"gate": {"source": "rtsp://cam/1"}}, sink={"out": tmp_path / "camera"})
    assert finish(camera, RUN).streams == {}


def test_who_shares_a_folder_is_finished_alone_and_together(folder: Path) -> None:
    add_yard(folder)
    both = config(folder, "gate", "yard")
    assert known_of(both) is None
    finish(both, LATER)
    assert known_of(config(folder)).run == RUN
    assert known_of(config(folder, "yard")).run == LATER
    assert known_of(both).run == Run(
        7.5, 22, {"edge": 3.5, "worker-1": 3.0}, {"edge": 4 << 20}, RUN.models | LATER.models
    )
    finish(config(folder), LATER)  # who was done stays so, compare video and all
    assert {name: done.compared for name, done in Finished.read(folder / "out/finished.json").streams.items()} == {
        "gate": True,
        "yard": False,
    }


def test_a_run_that_did_several_counts_once(tmp_path: Path) -> None:
    (tmp_path / "gate.mp4").write_bytes(b"a video")
    run(tmp_path / "out", folders=OutputFolders.under(tmp_path / "out/gate"))
    add_yard(tmp_path)
    both = config(tmp_path, "gate", "yard")
    finish(both, RUN)
    assert known_of(both).run == known_of(config(tmp_path)).run == RUN


def test_an_interrupted_run_finishes_nothing_and_leaves_what_was(folder: Path) -> None:
    add_yard(folder)
    assert finish(config(folder, "gate", "yard"), LATER, interrupted=True).streams.keys() == {"gate"}


def test_what_has_changed_and_is_interrupted_as_it_goes_on_is_finished_no_more(folder: Path) -> None:
    grow(folder)
    assert finish(config(folder), LATER, interrupted=True).streams == {}
