"""A run whose pictures are not where the config says is not taken for one that is whole."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.app.lost_pictures import Lost, check_pictures
from pipeline.app.places import Places
from pipeline.app.replay import remove_earlier
from pipeline.config import Config, validated
from pipeline.errors import ConfigError
from stages.ledger import SqliteLedger
from stages.outputs import OutputFolders
from tests.unit.test_export import HARD, run


def config(out: Path, stream: str = "gate", **sink: Path) -> Config:
    return validated({"streams": {stream: {"source": "a.mp4"}}, "sink": {"out": out, **sink}})


def checked(out: Path, **sink: Path) -> list[Lost]:
    """What is said of a run's pictures before it goes on."""
    settings = config(out, **sink)
    return check_pictures(settings.sink, Places.of(settings))


def test_where_one_picture_is_left_nothing_is_said(tmp_path: Path) -> None:
    assert checked(tmp_path) == []
    run(tmp_path)
    for seq in HARD[1:]:
        (tmp_path / f"hard_edge/{seq}.jpeg").unlink()
    assert checked(tmp_path) == []


def test_a_ledger_that_was_never_finished_knows_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()
    assert Places.of(config(tmp_path)).ledger == tmp_path / "ledger.sqlite"
    assert checked(tmp_path) == []


def test_what_was_removed_because_it_was_old_is_not_lost(tmp_path: Path) -> None:
    run(tmp_path)
    with closing(SqliteLedger(tmp_path / "ledger.sqlite", "a test")) as ledger:
        for old in ledger.oldest(["gate"], 100):
            ledger.removed(old.id, 1)
        ledger.commit()
    shutil.rmtree(tmp_path / "all")
    assert checked(tmp_path) == []


@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_beside_the_ledger_that_was_removed_or_emptied_is_told(tmp_path: Path, *, empty: bool) -> None:
    run(tmp_path)
    shutil.rmtree(tmp_path / "hard_cloud")
    if empty:
        (tmp_path / "hard_cloud").mkdir()
    (lost,) = checked(tmp_path)
    assert str(lost).startswith(f"{tmp_path}/hard_cloud has none of the pictures of stream 'gate' that the ledger ")


@pytest.mark.parametrize("field", ["all_examples", "hard_edge"])
def test_a_folder_elsewhere_without_the_ledgers_pictures_is_refused(tmp_path: Path, field: str) -> None:
    folders = {"all": tmp_path / "one", "hard_edge": tmp_path / "two", "hard_cloud": tmp_path / "three"}
    dataset = tmp_path / ".tandem/dataset"
    run(tmp_path / ".tandem", folders=OutputFolders(**folders, dataset=dataset))
    named = {"all_examples" if part == "all" else part: folder for part, folder in folders.items()}
    assert checked(tmp_path / "out", **named) == []
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path / "out", **named | {field: tmp_path / "other"})
    assert str(caught.value).startswith(f"sink.{field}: {tmp_path}/other has none of the pictures of stream 'gate'")
    for word in ("as it was before", "sink.state_dir", "--fresh"):
        assert word in str(caught.value)


def test_a_folder_that_nobody_named_is_not_called_by_its_setting(tmp_path: Path) -> None:
    run(tmp_path / ".tandem", folders=OutputFolders.under(tmp_path / "one"))
    named = {"all_examples": tmp_path / "one/all", "state_dir": tmp_path / ".tandem"}
    with pytest.raises(ConfigError) as caught:
        checked(tmp_path / "two", **named)
    assert str(caught.value).startswith(f"--out: {tmp_path}/two/hard_cloud has none of the pictures of stream 'gate'")


def sedna(folder: Path, stream: str, outputs: str) -> Config:
    """The config of a stream with Sedna's three names: all that have the same ``folder`` share its ``.tandem``."""
    names = {"all_examples": "all", "hard_edge": "hard_edge", "hard_cloud": "hard_cloud"}
    named = {field: folder / f"{outputs}-{name}" for field, name in names.items()}
    return config(folder / "out", stream, **named)


def ran(settings: Config) -> list[Path]:
    """Run the config's stream; the files that are there afterwards."""
    places = Places.of(settings)
    for stream, folders in places.pictures.items():
        run(places.state, stream, folders=folders)
    return sorted(path for path in places.state.parent.rglob("*") if path.is_file())


@pytest.mark.parametrize("which", [0, 1])
def test_fresh_keeps_the_ledger_of_another_run(tmp_path: Path, which: int) -> None:
    runs = [sedna(tmp_path, "yard", "a"), sedna(tmp_path, "gate", "b")]
    for each in runs:
        there = ran(each)
    other = ("gate", "yard")[which]
    with pytest.raises(ConfigError) as caught:
        remove_earlier(runs[which])
    assert str(caught.value).startswith(f"--fresh: the ledger {tmp_path}/.tandem/ledger.sqlite has streams of other ")
    for words in (f"({other})", "sink.state_dir of its own", "remove that ledger yourself"):
        assert words in str(caught.value)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == there
    assert check_pictures(runs[which].sink, Places.of(runs[which])) == []


def test_fresh_keeps_the_ledger_of_another_run_whose_outputs_lie_beside_it_too(tmp_path: Path) -> None:
    runs = [config(tmp_path / name, stream, state_dir=tmp_path) for name, stream in (("a", "yard"), ("b", "gate"))]
    for each in runs:
        ran(each)
    with pytest.raises(ConfigError, match=r"^--fresh: the ledger .* has streams of other runs too.*\(yard\)"):
        remove_earlier(runs[1])
    assert (tmp_path / "ledger.sqlite").exists()


def test_fresh_removes_other_streams_from_the_folders_of_this_run(tmp_path: Path) -> None:
    ran(sedna(tmp_path, "gate", "a"))
    ran(sedna(tmp_path, "yard", "a"))
    remove_earlier(sedna(tmp_path, "door", "a"))
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "classes.txt"] == []
