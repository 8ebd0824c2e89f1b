"""Who a process is on the broker."""

from __future__ import annotations

from pipeline.app.compose import Names
from pipeline.config import validated
from pipeline.stage import StageName


def test_a_worker_and_its_process_have_one_name_unless_both_are_named() -> None:
    cloud = [StageName.CLOUD]
    assert Names.of(validated({"cloud": {"worker": "w1"}}), cloud, "i") == Names("w1", "i", "w1")
    assert Names.of(validated({"process": "p1"}), cloud, "i") == Names("p1", "i", "p1")
    assert Names.of(validated({"process": "p1", "cloud": {"worker": "w1"}}), cloud, "i") == Names("p1", "i", "w1")
    unnamed = Names.of(validated({}), cloud, "i")
    assert unnamed.process == unnamed.worker


def test_an_edge_is_not_called_after_a_worker() -> None:
    names = Names.of(validated({"cloud": {"worker": "w1"}}), list(StageName), "i")
    assert names.process.startswith("edge-")
