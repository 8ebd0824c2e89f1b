"""Overlays as ``kubectl kustomize`` gives them, and how to walk them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

OVERLAYS = sorted(path.name for path in (ROOT / "manifests/overlays").iterdir())
Object = dict[str, Any]


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """The objects of an overlay."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    command = ["kubectl", "kustomize", str(ROOT / "manifests/overlays" / overlay)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> dict[str, Object]:
    """The objects of these kinds, by name."""
    return {item["metadata"]["name"]: item for item in rendered(overlay) if item["kind"] in kinds}


def workloads(overlay: str) -> dict[str, Object]:
    """What makes pods."""
    return of_kind(overlay, "Deployment", "StatefulSet", "DaemonSet")


def containers(workload: Object) -> Iterator[Object]:
    """Init containers too."""
    pod = workload["spec"]["template"]["spec"]
    yield from (*pod.get("initContainers", ()), *pod["containers"])
