"""``tandem run --anew`` sets outputs aside that do not fit, and none that somebody writes."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.app.anew import begin_anew
from pipeline.app.places import Places
from pipeline.config import Config, validated
from pipeline.errors import ConfigError
from pipeline.messages import ReaderProgress, SourceStatus
from pipeline.model import Counts
from stages.ledger import SqliteLedger
from stages.sqlite_outbox import SqliteOutbox

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "gate.mp4").write_bytes(b"a video")
    return validated({"streams": {"gate": {"source": str(tmp_path / "gate.mp4")}}, "sink": {"out": tmp_path / "out"}})


@pytest.fixture
def places(config: Config) -> Places:
    """With outputs that another config made."""
    places = Places.of(config)
    progress = ReaderProgress("gate", "r", "another", "gate.mp4", False, SourceStatus.OPENING, "", Counts())
    with closing(SqliteLedger(places.ledger, "a test")) as ledger:
        assert ledger.open(progress).refused == ""
        ledger.commit()
    SqliteOutbox(places.outbox, "a test", time.monotonic).close()
    return places


def names(places: Places) -> set[str]:
    return {path.name for path in places.state.iterdir()}


def test_what_another_config_made_is_set_aside(config: Config, places: Places) -> None:
    begin_anew(config, NOW)
    assert names(places) == {"ledger.sqlite.before-20260102T030405Z", "outbox.before-20260102T030405Z"}
    begin_anew(config, NOW)  # and then there is nothing


def test_what_another_tandem_made_is_set_aside(config: Config, places: Places) -> None:
    with closing(sqlite3.connect(places.ledger)) as connection:
        connection.execute("PRAGMA user_version = 1")
    begin_anew(config, NOW)
    assert names(places) == {"ledger.sqlite.before-20260102T030405Z", "outbox.before-20260102T030405Z"}


def test_a_ledger_that_was_never_finished_is_as_good_as_none(config: Config) -> None:
    """A full disk or a power cut leaves an empty file, and a pod could never begin."""
    places = Places.of(config)
    places.ledger.parent.mkdir(parents=True)
    places.ledger.touch()
    begin_anew(config, NOW)
    assert names(places) == {"ledger.sqlite"}
    SqliteLedger(places.ledger, "a test").close()


def test_what_somebody_writes_stays_where_it_is(config: Config, places: Places) -> None:
    there = names(places)
    with (
        closing(SqliteLedger(places.ledger, "edge, process 7")),
        pytest.raises(ConfigError, match=r"ledger\.sqlite: is used by edge, process 7"),
    ):
        begin_anew(config, NOW)
    with (
        closing(SqliteOutbox(places.outbox, "uplink, process 8", time.monotonic)),
        pytest.raises(ConfigError, match=r"outbox: is used by uplink, process 8"),
    ):
        begin_anew(config, NOW)
    assert names(places) == there
