"""Overlays as ``kubectl kustomize`` gives them, and how to walk them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

OVERLAYS = sorted(path.name for path in (ROOT / "manifests/overlays").iterdir())
Object = dict[str, Any]

FIELDS = {"metadata.name": "edge-or-cloud-5d4f8c9b7-x2x7z", "spec.nodeName": "edge-1"}
"""What the pods' own fields say, in these tests."""

SERVICE_HOST = re.compile(r"(?<!\$)\$\(([A-Z_]+)_SERVICE_HOST\)")


@cache
def rendered(overlay: str) -> tuple[Object, ...]:
    """The objects of an overlay."""
    return kustomized(ROOT / "manifests/overlays" / overlay)


def kustomized(folder: Path) -> tuple[Object, ...]:
    """What ``kubectl apply -k`` would take to a cluster."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], check=True, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(overlay: str, *kinds: str) -> dict[str, Object]:
    """The objects of these kinds, by name."""
    return {item["metadata"]["name"]: item for item in rendered(overlay) if item["kind"] in kinds}


def workloads(overlay: str) -> dict[str, Object]:
    """What makes pods."""
    return of_kind(overlay, "Deployment", "StatefulSet", "DaemonSet")


def stages(overlay: str) -> dict[str, Object]:
    """The workloads that run stages of Tandem."""
    return {name: item for name, item in workloads(overlay).items() if "args" in main(item) and main(item)["args"][0] == "run"}  # fmt: skip  # noqa: E501


def main(workload: Object) -> Object:
    """Its one container beside init containers."""
    container: Object
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return container


def containers(workload: Object) -> Iterator[Object]:
    """Init containers too."""
    pod = workload["spec"]["template"]["spec"]
    yield from (*pod.get("initContainers", ()), *pod["containers"])


def labels(workload: Object) -> Mapping[str, str]:
    """The labels of its pods."""
    found: Mapping[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def expanded(overlay: str, text: str, environment: Mapping[str, str]) -> str:
    """What Kubernetes makes of ``$(NAME)``; the host of a Service becomes its name, and the Service must be there."""

    def host(found: re.Match[str]) -> str:
        name = found[1].lower().replace("_", "-")
        assert name in of_kind(overlay, "Service")
        return name

    text = SERVICE_HOST.sub(host, text)
    return re.sub(r"(?<!\$)\$\((\w+)\)", lambda found: environment[found[1]], text).replace("$$(", "$(")


def environment(overlay: str, container: Object) -> dict[str, str]:
    """The environment that the container asks for."""
    found: dict[str, str] = {}
    for entry in container.get("env", ()):
        value = entry["value"] if "value" in entry else FIELDS[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        found[entry["name"]] = expanded(overlay, value, found)
    return found


def config_files(overlay: str, workload: Object, folder: str, target: Path) -> None:
    """Write the files of the ConfigMap that a container sees at a folder."""
    volumes = {volume["name"]: volume for volume in workload["spec"]["template"]["spec"]["volumes"]}
    mounts = [mount for container in containers(workload) for mount in container["volumeMounts"]]
    (name,) = {mount["name"] for mount in mounts if mount["mountPath"] == folder}
    for file, text in of_kind(overlay, "ConfigMap")[volumes[name]["configMap"]["name"]]["data"].items():
        (target / file).write_text(text)


def filled_in(folder: Path, overlay: str, name: str) -> None:
    """Write NAME.conf as the init containers, if there are any, make it of the ConfigMap."""
    item = workloads(overlay)[name]
    inits = item["spec"]["template"]["spec"].get("initContainers", ())
    seen_at = "/etc/mosquitto/template" if inits else "/etc/mosquitto/conf"
    places = {"/etc/mosquitto/template": folder / "template", "/etc/mosquitto/conf": folder / f"{name}-conf"}
    for place in places.values():
        place.mkdir(exist_ok=True)
    config_files(overlay, item, seen_at, places[seen_at])
    for init in inits:
        done = subprocess.run(init_command(overlay, init, places), check=False)
        assert done.returncode == 0
    shutil.move(folder / f"{name}-conf/mosquitto.conf", folder / f"{name}.conf")


def init_command(overlay: str, init: Mapping[str, Any], places: Mapping[str, Path], *, heard: bool = True) -> list[str]:
    """What an init container runs, on a node that has heard of the Services already or not."""
    words = [*init["command"], *init["args"]]
    if not heard:  # Kubernetes leaves alone what it does not know
        words = [word.replace("$(", "$$(") if SERVICE_HOST.search(word) else word for word in words]
    words = [expanded(overlay, word, environment(overlay, init)) for word in words]
    for place, path in places.items():
        words = [word.replace(place, str(path)) for word in words]
    return words
