"""What a service becomes on Kubernetes: valid, with the user's template whole, and Restricted where that can be."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from pipeline.app import run
from pipeline.app.sedna.deployment import autoscaler, deployment
from pipeline.app.sedna.names import Image
from pipeline.app.sedna.read import read_objects
from pipeline.app.sedna.translate import ServicePlan, plan_service
from pipeline.errors import ConfigError
from tests.sedna_guide import GUIDE

IMAGE = Image("registry.example/tandem:1")
TMP = "/tmp"  # noqa: S108 - of a container
URL = "mqtt://helmet-broker:1883"


def plan(tmp_path: Path, *changes: tuple[str, str]) -> ServicePlan:
    text = GUIDE.replace("  namespace: default\nspec", "  namespace: default\n  uid: u-1\nspec")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (tmp_path / "service.yaml").write_text(text)
    found = read_objects(tmp_path / "service.yaml")
    return plan_service(found.services[0], found.models_of(found.services[0]))


def edge(tmp_path: Path, *changes: tuple[str, str]) -> dict[str, Any]:
    found = plan(tmp_path, *changes)
    return deployment(found.service, found.edge, IMAGE, URL)


def cloud(tmp_path: Path, *changes: tuple[str, str]) -> dict[str, Any]:
    found = plan(tmp_path, *changes)
    return deployment(found.service, found.cloud, IMAGE, URL)


def pod(found: dict[str, Any]) -> Any:
    return found["spec"]["template"]["spec"]


def worker(found: dict[str, Any]) -> Any:
    return pod(found)["containers"][0]


def variables(found: dict[str, Any]) -> dict[str, str | None]:
    names = [variable["name"] for variable in worker(found)["env"]]
    assert len(names) == len(set(names)), "server-side apply refuses a name that comes twice"
    return {variable["name"]: variable.get("value") for variable in worker(found)["env"]}


@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_both_are_what_kubernetes_takes(tmp_path: Path, version: str) -> None:
    for found in (edge(tmp_path), cloud(tmp_path)):
        kubernetes_validate.validate(found, version, strict=True)


def test_the_edge_is_named_labelled_and_owned_as_by_sedna(tmp_path: Path) -> None:
    found = edge(tmp_path)
    assert found["metadata"]["name"] == "helmet-detection-inference-example-deployment-edge"
    assert found["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    own = {
        "jointinferenceservice.sedna.io/name": "helmet-detection-inference-example",
        "jointinferenceservice.sedna.io/uid": "u-1",
        "jointinferenceservice.sedna.io/worker-type": "edge",
        "app.sedna.io": "helmet-detection-inference-example-Edge-svc",
    }
    assert found["spec"]["selector"]["matchLabels"] == own
    assert found["spec"]["template"]["metadata"]["labels"] == own
    assert (found["spec"]["replicas"], found["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_the_users_own_tmp_user_and_grace_beat_ours(tmp_path: Path) -> None:
    assert pod(edge(tmp_path))["terminationGracePeriodSeconds"] > 2 * run.GRACE_S
    theirs = "terminationGracePeriodSeconds: 90\n        securityContext: {runAsUser: 7}\n        nodeName: $EDGE_NODE"
    mounts = f"volumeMounts:\n            - {{name: outputdir, mountPath: {TMP}}}"
    found = edge(tmp_path, ("nodeName: $EDGE_NODE", theirs), ("volumeMounts:", mounts))
    assert pod(found)["terminationGracePeriodSeconds"] == 90
    assert pod(found)["securityContext"]["runAsUser"] == 7
    assert [mount["name"] for mount in worker(found)["volumeMounts"] if mount["mountPath"] == TMP] == ["outputdir"]


def test_the_users_template_is_kept(tmp_path: Path) -> None:
    found = edge(tmp_path)
    assert pod(found)["nodeName"] == "$EDGE_NODE"
    assert worker(found)["name"] == "little-model"
    assert worker(found)["resources"]["limits"] == {"memory": "2Gi"}
    assert {"name": "outputdir", "mountPath": "/data/"} in worker(found)["volumeMounts"]
    assert variables(found)["video_url"] == "file://data/video/video.mp4"


def test_the_worker_runs_tandem_in_its_image(tmp_path: Path) -> None:
    found = edge(tmp_path)
    assert worker(found)["image"] == "registry.example/tandem:1"
    assert worker(found)["command"] == ["tandem", "run", "reader", "detector", "miner", "uplink", "sink", "--anew"]
    assert worker(cloud(tmp_path))["command"] == ["tandem", "run", "cloud"]
    assert variables(found)["TANDEM_BROKER__URL"] == URL
    assert variables(found)["HEM_NAME"] == "IBT"


def test_an_annotation_keeps_a_users_own_image_and_command(tmp_path: Path) -> None:
    found = edge(
        tmp_path,
        ("  uid: u-1\n", '  uid: u-1\n  annotations: {tandem/keep-image: "true"}\n'),
        ("          name:  little-model\n", "          name:  little-model\n          command: [mine]\n"),
    )
    assert worker(found)["image"].startswith("kubeedge/sedna-example")
    assert worker(found)["command"] == ["mine"]


def test_the_models_folder_is_mounted_read_only_beside_what_the_guide_mounts(tmp_path: Path) -> None:
    found = edge(tmp_path)
    volume = {"name": "tandem-model", "hostPath": {"path": "/data/little-model", "type": "Directory"}}
    assert volume in pod(found)["volumes"]
    assert {"name": "tandem-model", "mountPath": "/models", "readOnly": True} in worker(found)["volumeMounts"]
    assert variables(found)["MODEL_URL"] == "/models/yolov3_resnet18.onnx"


def test_files_of_the_node_are_read_as_root_without_its_powers(tmp_path: Path) -> None:
    found = edge(tmp_path)
    assert pod(found)["securityContext"] == {
        "seccompProfile": {"type": "RuntimeDefault"}, "runAsUser": 0, "runAsGroup": 0,
    }  # fmt: skip
    assert worker(found)["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip


def test_without_files_of_the_node_a_pod_is_restricted(tmp_path: Path) -> None:
    found = cloud(tmp_path, ('"/data/big-model/yolov3_darknet.onnx"', '"big"'))
    assert pod(found)["securityContext"]["runAsNonRoot"] is True
    assert variables(found)["MODEL_URL"] == "big"
    assert all("hostPath" not in volume for volume in pod(found)["volumes"])


def test_outputs_that_no_mount_holds_get_one(tmp_path: Path) -> None:
    mounts = [mount["mountPath"] for mount in worker(edge(tmp_path))["volumeMounts"]]
    assert mounts == ["/data/", "/models", TMP]
    elsewhere = edge(tmp_path, ("mountPath: /data/", "mountPath: /data/video"))
    assert [mount["mountPath"] for mount in worker(elsewhere)["volumeMounts"]] == [
        "/data/video", "/models", TMP, "/data",
    ]  # fmt: skip


def test_a_mount_over_the_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="/models is Tandem's: mount elsewhere"):
        edge(tmp_path, ("mountPath: /data/", "mountPath: /models"))


def test_a_model_on_a_server_is_fetched_before_the_worker_starts(tmp_path: Path) -> None:
    url = "https://models.example/a%20b.onnx?v=2"
    found = edge(tmp_path, ('"/data/little-model/yolov3_resnet18.onnx"', f'"{url}"'))
    kubernetes_validate.validate(found, "1.37", strict=True)
    (fetch,) = pod(found)["initContainers"]
    assert fetch["command"] == ["tandem", "fetch", url, variables(found)["MODEL_URL"]]
    assert fetch["volumeMounts"] == [{"name": "tandem-model", "mountPath": "/models"}]
    assert {"name": "tandem-model", "mountPath": "/models", "readOnly": True} in worker(found)["volumeMounts"]
    assert {"name": "tandem-model", "emptyDir": {}} in pod(found)["volumes"]


def test_a_brokers_password_is_a_file_and_never_in_the_environment(tmp_path: Path) -> None:
    found = plan(tmp_path)
    made = deployment(found.service, found.edge, IMAGE, URL, "helmet-broker")
    kubernetes_validate.validate(made, "1.37", strict=True)
    assert variables(made)["TANDEM_BROKER__PASSWORD_FILE"] == "/etc/tandem/broker/password"  # noqa: S105
    (volume,) = [one for one in pod(made)["volumes"] if "secret" in one]
    assert volume["secret"]["items"] == [{"key": "password", "path": "password"}]
    named = {"name": "tandem-broker", "mountPath": "/etc/tandem/broker", "readOnly": True}
    assert named in worker(made)["volumeMounts"]


def test_a_template_that_names_its_broker_gets_no_password_of_another(tmp_path: Path) -> None:
    named = '- name: TANDEM_BROKER__URL\n            value: "mqtt://mine:1883"\n          - name: "video_url"'
    found = plan(tmp_path, ('- name: "video_url"', named))
    made = deployment(found.service, found.edge, IMAGE, URL, "helmet-broker")
    assert variables(made)["TANDEM_BROKER__URL"] == "mqtt://mine:1883"
    assert "TANDEM_BROKER__PASSWORD_FILE" not in variables(made)
    assert all("secret" not in volume for volume in pod(made)["volumes"])


def test_the_cloud_scales_as_asked_and_the_edge_never(tmp_path: Path) -> None:
    hpa = "    hpa: {minReplicas: 1, maxReplicas: 3}\n"
    found = plan(tmp_path, ("  cloudWorker:\n", f"  cloudWorker:\n{hpa}"), ("  edgeWorker:\n", f"  edgeWorker:\n{hpa}"))
    assert autoscaler(found.service, found.edge) is None
    scaler = autoscaler(found.service, found.cloud)
    assert scaler is not None
    kubernetes_validate.validate(scaler, "1.37", strict=True)
    assert scaler["metadata"]["name"] == "hpa-helmet-detection-inference-example-deployment-cloud"
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (1, 3)
    assert "replicas" not in deployment(found.service, found.cloud, IMAGE, URL)["spec"]


def test_an_edge_stays_on_a_node_that_is_tainted_or_only_cut_off(tmp_path: Path) -> None:
    kept = ["node-role.kubernetes.io/edge", "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"]
    assert [one["key"] for one in edge(tmp_path)["spec"]["template"]["spec"]["tolerations"]] == kept
    assert "tolerations" not in cloud(tmp_path)["spec"]["template"]["spec"]
    short = "{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 9}"
    own = ("nodeName: $EDGE_NODE", f"nodeName: $EDGE_NODE\n        tolerations: [{short}]")
    found = edge(tmp_path, own)["spec"]["template"]["spec"]["tolerations"]
    assert [(one["key"], one.get("tolerationSeconds")) for one in found] == [
        (kept[1], 9),
        (kept[0], None),
        (kept[2], None),
    ]


def test_probes_follow_a_port_that_the_template_sets(tmp_path: Path) -> None:
    port = '- name: TANDEM_HTTP__PORT\n            value: "9200"\n          - name: "video_url"'
    found = edge(tmp_path, ('- name: "video_url"', port))
    assert worker(found)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 9200}
    assert variables(found)["TANDEM_HTTP__PORT"] == "9200"
    assert worker(edge(tmp_path))["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": 9100}
