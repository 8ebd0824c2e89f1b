"""A run whose pictures are not where the config says is not taken for one that is whole."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.app.lost_pictures import check_pictures
from pipeline.app.places import Places
from pipeline.config import validated
from pipeline.errors import ConfigError
from stages.ledger import SqliteLedger
from stages.outputs import OutputFolders
from tests.unit.test_export import HARD, run


def places(out: Path, **sink: Path) -> Places:
    return Places.of(validated({"streams": {"gate": {"source": "a.mp4"}}, "sink": {"out": out, **sink}}))


def test_where_one_picture_is_left_nothing_is_said(tmp_path: Path) -> None:
    assert check_pictures(places(tmp_path)) == []
    run(tmp_path)
    for seq in HARD[1:]:
        (tmp_path / f"hard_edge/{seq}.jpeg").unlink()
    assert check_pictures(places(tmp_path)) == []


def test_a_ledger_that_was_never_finished_knows_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").touch()
    assert places(tmp_path).ledger == tmp_path / "ledger.sqlite"
    assert check_pictures(places(tmp_path)) == []


def test_what_was_removed_because_it_was_old_is_not_lost(tmp_path: Path) -> None:
    run(tmp_path)
    with closing(SqliteLedger(tmp_path / "ledger.sqlite", "a test")) as ledger:
        for old in ledger.oldest(["gate"], 100):
            ledger.removed(old.id, 1)
        ledger.commit()
    shutil.rmtree(tmp_path / "all")
    assert check_pictures(places(tmp_path)) == []


@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_beside_the_ledger_that_was_removed_or_emptied_is_told(tmp_path: Path, *, empty: bool) -> None:
    run(tmp_path)
    shutil.rmtree(tmp_path / "hard_cloud")
    if empty:
        (tmp_path / "hard_cloud").mkdir()
    (lost,) = check_pictures(places(tmp_path))
    assert str(lost).startswith(f"{tmp_path}/hard_cloud has none of the pictures of stream 'gate' that the ledger ")


@pytest.mark.parametrize("field", ["all_examples", "hard_edge"])
def test_a_folder_elsewhere_without_the_ledgers_pictures_is_refused(tmp_path: Path, field: str) -> None:
    folders = {"all": tmp_path / "one", "hard_edge": tmp_path / "two", "hard_cloud": tmp_path / "three"}
    dataset = tmp_path / ".tandem/dataset"
    run(tmp_path / ".tandem", folders=OutputFolders(**folders, dataset=dataset))
    named = {"all_examples" if part == "all" else part: folder for part, folder in folders.items()}
    assert check_pictures(places(tmp_path / "out", **named)) == []
    with pytest.raises(ConfigError) as caught:
        check_pictures(places(tmp_path / "out", **named | {field: tmp_path / "other"}))
    assert str(caught.value).startswith(f"sink.{field}: {tmp_path}/other has none of the pictures of stream 'gate'")
    for word in ("as it was before", "sink.state_dir", "--fresh"):
        assert word in str(caught.value)
