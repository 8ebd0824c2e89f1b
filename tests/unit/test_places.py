"""Where a run keeps what it makes."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.app import check
from pipeline.app.places import Places
from pipeline.config import validated
from pipeline.errors import ConfigError
from pipeline.stage import StageName
from tests.unit.test_export import run


def test_everything_is_in_out() -> None:
    places = Places.of(validated({"streams": {"gate": {"source": "a.mp4"}}, "sink": {"out": "o"}}))
    assert places.pictures["gate"].all == Path("o/all")
    assert places.ledger == Path("o/ledger.sqlite")
    assert places.outbox == Path("o/outbox")
    assert places.compare("gate") == Path("o/compare.webm")


def test_where_sedna_names_outputs_the_rest_is_beside_the_first() -> None:
    places = Places.of(
        validated(
            {"streams": {"gate": {"source": "a.mp4"}}, "sink": {"hard_edge": "/d/edge", "hard_cloud": "/e/cloud"}}
        )
    )
    assert places.pictures["gate"].hard_cloud == Path("/e/cloud")
    assert places.pictures["gate"].dataset == Path("/d/.tandem/dataset")
    assert places.ledger == Path("/d/.tandem/ledger.sqlite")
    assert places.outbox == Path("/d/.tandem/outbox")


def test_a_path_that_is_not_utf8_is_refused() -> None:
    config = validated({"sink": {"out": Path(os.fsdecode(b"/tmp/\xff"))}})
    with pytest.raises(ConfigError, match=r"sink\.out: b'/tmp/\\xff' is not UTF-8: name another folder"):
        Places.of(config)


def places(out: Path, *streams: str, **sink: str) -> Places:
    return Places.of(
        validated({"streams": {name: {"source": "a.mp4"} for name in streams}, "sink": {"out": out, **sink}})
    )


def test_each_of_several_streams_has_a_folder() -> None:
    out = places(Path("o"), "gate", "yard")
    assert out.pictures["yard"].hard_edge == Path("o/yard/hard_edge")
    assert out.compare("yard") == Path("o/compare-yard.webm")
    named = places(Path("o"), "gate", "yard", all_examples="/a", hard_edge="/b", hard_cloud="/c", state_dir="/d")
    assert named.pictures["yard"].all == Path("/a/yard")
    assert named.pictures["yard"].dataset == Path("/d/dataset/yard")


def test_who_comes_later_gets_a_folder_and_who_began_alone_stays(tmp_path: Path) -> None:
    run(tmp_path, "gate")
    later = places(tmp_path, "yard")
    assert later.pictures["yard"].dataset == tmp_path / "yard/dataset"
    assert later.compare("yard") == tmp_path / "compare-yard.webm"
    run(tmp_path, "yard", folders=later.pictures["yard"])
    for streams in (("gate",), ("gate", "yard"), ("gate", "roof")):
        again = places(tmp_path, *streams)
        assert again.pictures["gate"].dataset == tmp_path / "dataset"
        assert again.compare("gate") == tmp_path / "compare.webm"
    assert places(tmp_path, "yard") == later


def test_who_was_one_of_several_keeps_its_folder_when_it_comes_alone(tmp_path: Path) -> None:
    run(tmp_path, "gate", folders=places(tmp_path, "gate", "yard").pictures["gate"])
    assert places(tmp_path, "gate").pictures["gate"].all == tmp_path / "gate/all"


def test_a_ledger_that_is_none_is_left_to_who_opens_it(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("no database, and long enough to be taken for one" * 40)
    assert places(tmp_path, "gate").pictures["gate"].all == tmp_path / "all"
    (tmp_path / "ledger.sqlite").unlink()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as another:
        another.execute("CREATE TABLE streams (name TEXT)")
    assert places(tmp_path, "gate").pictures["gate"].all == tmp_path / "all"


def test_a_folder_that_we_may_not_look_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    config = validated({"streams": {"gate": {"source": "a.mp4"}}, "sink": {"out": tmp_path}})
    monkeypatch.setattr(Path, "is_file", closed)
    said = f"{tmp_path}/ledger.sqlite: cannot be looked for (Permission denied): "
    with pytest.raises(ConfigError) as caught:
        Places.of(config)
    assert str(caught.value).startswith(said)
    (finding,) = check._folders(config, frozenset({StageName.SINK}))
    assert finding.error.startswith(said)
