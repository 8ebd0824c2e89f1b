"""Where a run keeps what it makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.app.places import Places
from pipeline.config import validated
from pipeline.errors import ConfigError


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
