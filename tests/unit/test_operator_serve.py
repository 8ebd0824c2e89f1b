"""How replicas of the operator agree who of them is at work."""

from __future__ import annotations

import itertools
from typing import Any

import kopf
import pytest
from kubernetes import client

from pipeline.app.operator import serve
from pipeline.app.operator.cluster import Cluster
from pipeline.app.sedna.names import Image


def test_who_is_at_work_is_never_told_to_wait_by_one_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[dict[str, Any]] = []
    monkeypatch.setattr(kopf, "run", lambda **options: runs.append(options))
    monkeypatch.setattr(kopf, "configure", lambda **_: None)
    monkeypatch.setattr(Cluster, "found", lambda: Cluster(client.ApiClient(client.Configuration())))
    monkeypatch.setattr(Cluster, "create_peering", lambda *_: None)
    for _ in range(8):
        serve.serve(Image("tandem"), peering=True, http="")
    assert all(one["priority"] > later["priority"] for one, later in itertools.pairwise(runs))
    assert len({run["identity"] for run in runs}) == len(runs) == 8
