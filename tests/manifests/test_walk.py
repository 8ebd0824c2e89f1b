"""The README's way onto a cluster, line by line: what it names is there, and does what is said of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.app.sedna.read import read_objects
from pipeline.app.sedna.translate import plan_service
from tests.conftest import ROOT
from tests.manifests.rendered import OVERLAYS, containers, kustomized, of_kind, workloads

README = (ROOT / "README.md").read_text()
KUBERNETES = README.partition("\n## Kubernetes\n")[2].partition("\n## Guarantees\n")[0]
LINES = [
    line.partition(" #")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", KUBERNETES, re.DOTALL)
    for line in block.splitlines()
]
EXAMPLE = ROOT / "manifests/examples/helmet-detection.yaml"
overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def lines(begin: str) -> list[list[str]]:
    """The words of the lines that begin so; there is one at least."""
    found = [shlex.split(line) for line in LINES if line.startswith(begin)]
    assert found, begin
    return found


def test_every_folder_that_is_applied_or_deleted_can_be() -> None:
    for verb in ("apply", "delete"):
        for words in lines(f"kubectl {verb} -k "):
            assert kustomized(ROOT / words[3])


def test_the_image_that_is_built_and_taken_to_nodes_is_the_one_that_pods_run() -> None:
    (build,), (save,), (bring,) = (lines(begin) for begin in ("podman build", "podman save", "sudo ctr"))
    assert (ROOT / build[build.index("-f") + 1]).exists()
    image = build[build.index("-t") + 1]
    assert save[2] == image
    assert bring[-1] == save[save.index("-o") + 1]
    assert image in {container["image"] for item in workloads("one-node").values() for container in containers(item)}


@overlays
def test_edge_nodes_are_found_by_the_label_and_taint_that_are_set(overlay: str) -> None:
    (label,), (taint,) = lines("kubectl label node"), lines("kubectl taint node")
    key = label[-1].rstrip("=")
    assert taint[-1] == f"{key}:NoSchedule"
    edge_alone = {"key": key, "operator": "Exists"}
    for name, item in workloads(overlay).items():
        pod = item["spec"]["template"]["spec"]
        terms = pod.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution")
        rules = [rule for term in (terms or {}).get("nodeSelectorTerms", ()) for rule in term["matchExpressions"]]
        if overlay in ("one-node", "split"):
            assert not rules
        elif name in ("edge", "edge-broker"):
            assert rules == [edge_alone]
            assert edge_alone in pod["tolerations"]
        else:
            assert rules == [{"key": key, "operator": "DoesNotExist"}]


@overlays
def test_without_a_storage_class_the_kustomization_shown_leaves_no_claim(overlay: str, tmp_path: Path) -> None:
    shown = KUBERNETES.partition("  ```yaml\n")[2].partition("  ```\n")[0]
    kustomization = yaml.safe_load(shown)
    assert kustomization["resources"] == ["../manifests/overlays/edge-cloud"]
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    (tmp_path / "mine").mkdir()
    kustomization["resources"] = [f"../manifests/overlays/{overlay}"]
    (tmp_path / "mine/kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    objects = kustomized(tmp_path / "mine")
    text = json.dumps(objects).lower()
    assert "persistentvolumeclaim" not in text
    assert "volumeclaimtemplates" not in text
    kept = {(item["kind"], item["metadata"]["name"]) for item in objects}  # type: ignore[index]
    assert {("StatefulSet", "broker"), ("Deployment", "cloud")} <= kept
    for item in objects:
        pod = item.get("spec", {}).get("template", {}).get("spec", {})  # type: ignore[attr-defined]
        names = [volume["name"] for volume in pod.get("volumes", ())]
        assert len(names) == len(set(names))
        assert {mount["name"] for container in pod.get("containers", ()) for mount in container["volumeMounts"]} <= set(
            names
        )


def test_the_workloads_that_commands_name_are_there() -> None:
    restarted = re.findall(r"`kubectl -n tandem rollout restart statefulset (\w+)`", KUBERNETES)
    assert restarted
    assert set(restarted) <= of_kind("edge-cloud-tls", "StatefulSet").keys()
    (listen,) = lines("kubectl -n tandem exec")
    assert listen[4].removesuffix("-0") in of_kind("one-node", "StatefulSet")


def test_the_examples_nodes_and_models_are_put_in_as_shown(tmp_path: Path) -> None:
    (command,) = [line for line in LINES if line.startswith("sed ")]
    script, file = shlex.split(command.partition("|")[0])[1:]
    assert file == "service.yaml"
    text = subprocess.run(["sed", script, str(EXAMPLE)], check=True, capture_output=True, text=True).stdout
    (tmp_path / "service.yaml").write_text(text)
    found = read_objects(tmp_path / "service.yaml")
    (service,) = found.services
    patched = re.search(r"`kubectl patch model (\S+) --type merge -p '(.*?)'`", KUBERNETES)
    assert patched
    models = found.models_of(service)
    spec = models[patched[1]].spec
    models[patched[1]] = models[patched[1]].model_copy(
        update={"spec": spec.model_copy(update=json.loads(patched[2])["spec"])}
    )
    plan = plan_service(service, models)
    assert (plan.edge.template.node_name, plan.cloud.template.node_name) == ("edge-1", "cloud-1")
    assert plan.edge.model.in_container == "little"
    (described,) = lines("kubectl describe ji")
    assert described[3] == service.metadata.name


@pytest.fixture(scope="module")
def cluster() -> dict[str, str]:
    """The environment of a kubectl that reaches a cluster, which nothing is changed in."""
    file = os.environ.get("TANDEM_TEST_KUBECONFIG")
    if not file or shutil.which("kubectl") is None:
        pytest.skip(
            "needs kubectl, and TANDEM_TEST_KUBECONFIG with the kubeconfig of a cluster that has a namespace tandem"
        )
    return {**os.environ, "KUBECONFIG": file}


@pytest.mark.parametrize("folder", [*(f"overlays/{overlay}" for overlay in OVERLAYS), "crds"])
@pytest.mark.parametrize("options", [(), ("--server-side", "--force-conflicts")], ids=["client", "server"])
def test_an_api_server_takes_all_of_it(folder: str, options: tuple[str, ...], cluster: dict[str, str]) -> None:
    command = ["kubectl", "apply", *options, "--dry-run=server", "-k", f"manifests/{folder}"]
    done = subprocess.run(command, cwd=ROOT, env=cluster, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
