"""The operator's own manifests: valid, restricted, with a command that parses and with the rights that it uses."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest

from pipeline.app.operator.cluster import _PATHS
from pipeline.app.sedna.broker import OPERATOR
from tests.conftest import ROOT
from tests.manifests.rendered import containers, of_kind, rendered, workloads
from tests.manifests.test_manifests import NEWEST, OLDEST

AT = "../operator"


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_schemas_hold_strictly(version: str) -> None:
    for item in rendered(AT):
        kubernetes_validate.validate(item, version, strict=True)


def test_its_pods_are_restricted_probed_and_known_to_brokers() -> None:
    (item,) = workloads(AT).values()
    pod = item["spec"]["template"]
    assert item["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == OPERATOR
    context = pod["spec"]["securityContext"]
    assert (context["runAsNonRoot"], context["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    (container,) = containers(item)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    port = container["args"][container["args"].index("--http") + 1].rpartition(":")[2]
    assert int(port) == container["ports"][0]["containerPort"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": container["ports"][0]["name"]}


def test_what_it_starts_runs_its_own_image() -> None:
    (item,) = workloads(AT).values()
    (container,) = containers(item)
    assert container["args"][container["args"].index("--image") + 1] == container["image"] != "localhost/tandem"


def test_its_command_is_taken_by_the_real_cli() -> None:
    (item,) = workloads(AT).values()
    (container,) = containers(item)
    command = [sys.executable, "-m", "pipeline", *container["args"]]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    # all that is wrong outside of a pod is that there is no cluster
    assert (done.returncode, "no cluster is named here" in done.stderr) == (2, True), done.stderr


def granted(rules: list[dict[str, Any]], path: str, plural: str) -> set[str]:
    group = path.split("/")[1] if path.startswith("apis/") else ""
    return {
        verb for rule in rules if group in rule["apiGroups"] and plural in rule["resources"] for verb in rule["verbs"]
    }


def test_its_rights_are_those_that_it_uses_and_no_more() -> None:
    (role,) = of_kind(AT, "ClusterRole").values()
    for rule in role["rules"]:
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
    watched = {"get", "list", "watch"}
    wanted = {"JointInferenceService": watched | {"patch"}, "Model": {"list", "watch"}, "Node": {"get"}}
    made = {"get", "create", "patch", "delete"}  # server-side apply creates by patch, and needs both
    for kind, (path, plural) in _PATHS.items():
        expected = wanted.get(kind, made | (watched if kind == "Deployment" else set()))
        assert granted(role["rules"], path, plural) == expected, kind
    assert granted(role["rules"], "api/v1", "events") == {"create"}
    assert granted(role["rules"], "apis/sedna.io/v1alpha1", "jointinferenceservices/status") == {"patch"}
    (binding,) = of_kind(AT, "ClusterRoleBinding").values()
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    (account,) = of_kind(AT, "ServiceAccount").values()
    assert (subject["name"], subject["namespace"]) == (account["metadata"]["name"], account["metadata"]["namespace"])


def test_replicas_agree_by_a_kind_that_is_there() -> None:
    crd = of_kind(AT, "CustomResourceDefinition")["clusterkopfpeerings.kopf.dev"]
    assert (crd["spec"]["scope"], crd["spec"]["names"]["kind"]) == ("Cluster", "ClusterKopfPeering")
