"""The overlays: their schemas, and what schemas miss."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity

from pipeline.app.parts import EDGE
from pipeline.config import PREFIX, load
from stages.sources.file import FileSource
from stages.sources.sampling import Every
from tests.brokers import running
from tests.conftest import ROOT
from tests.manifests.rendered import OVERLAYS, Object, containers, of_kind, rendered, workloads

OLDEST, NEWEST = "1.25", "1.37"
overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@overlays
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_schemas_hold_strictly(overlay: str, version: str) -> None:
    assert rendered(overlay)
    for item in rendered(overlay):
        kubernetes_validate.validate(item, version, strict=True)


@overlays
def test_selectors_are_those_of_the_pods(overlay: str) -> None:
    pods = [item["spec"]["template"]["metadata"]["labels"] for item in workloads(overlay).values()]
    for item in workloads(overlay).values():
        wanted = item["spec"]["selector"]["matchLabels"]
        assert [labels for labels in pods if wanted.items() <= labels.items()] == [
            item["spec"]["template"]["metadata"]["labels"]
        ]
    selectors = [item["spec"]["selector"] for item in of_kind(overlay, "Service").values()]
    selectors += [item["spec"]["selector"]["matchLabels"] for item in of_kind(overlay, "PodDisruptionBudget").values()]
    selectors += [item["spec"]["podSelector"]["matchLabels"] for item in of_kind(overlay, "NetworkPolicy").values()]
    for selector in selectors:
        assert any(selector.items() <= labels.items() for labels in pods), selector


@overlays
def test_what_is_referred_to_is_there(overlay: str) -> None:
    maps, claims = of_kind(overlay, "ConfigMap"), of_kind(overlay, "PersistentVolumeClaim")
    for item in workloads(overlay).values():
        volumes = item["spec"]["template"]["spec"]["volumes"]
        names = {volume["name"] for volume in volumes}
        names |= {claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", ())}
        assert {volume["configMap"]["name"] for volume in volumes if "configMap" in volume} <= maps.keys()
        used = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}
        assert used <= claims.keys()
        for container in containers(item):
            assert {mount["name"] for mount in container["volumeMounts"]} <= names
    for item in of_kind(overlay, "HorizontalPodAutoscaler").values():
        assert item["spec"]["scaleTargetRef"]["name"] in of_kind(overlay, "Deployment")
        assert "replicas" not in of_kind(overlay, "Deployment")[item["spec"]["scaleTargetRef"]["name"]]["spec"]
    assert workloads(overlay)["broker"]["spec"]["serviceName"] in of_kind(overlay, "Service")


@overlays
def test_pods_are_restricted_probed_and_bounded(overlay: str) -> None:
    for item in workloads(overlay).values():
        pod = item["spec"]["template"]["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["terminationGracePeriodSeconds"] > 20
        allowed = {"name", "configMap", "emptyDir", "persistentVolumeClaim", "secret"}
        assert all(volume.keys() <= allowed for volume in pod["volumes"])
        for container in containers(item):
            context = container["securityContext"]
            assert context == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            for name in ("cpu", "memory"):
                low, high = (parse_quantity(container["resources"][key][name]) for key in ("requests", "limits"))
                assert 0 < low <= high
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert container["image"] == "localhost/tandem:0.1.0"
            assert all("hostPort" not in port for port in container.get("ports", ()))
            assert all(isinstance(entry.get("value", ""), str) for entry in container.get("env", ()))
        for container in pod["containers"]:
            ports = {port["name"] for port in container["ports"]}
            for probe, path in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
                assert container[probe]["httpGet"]["path"] == path
                assert container[probe]["httpGet"]["port"] in ports
    assert workloads(overlay)["edge"]["spec"]["strategy"] == {"type": "Recreate"}
    assert workloads(overlay)["edge"]["spec"]["replicas"] == 1


def _config_of(overlay: str, item: Object, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The config that a pod's one container loads, with its environment."""
    (container,) = item["spec"]["template"]["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in item["spec"]["template"]["spec"]["volumes"]}
    file = Path(container["args"][container["args"].index("--config") + 1])
    (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == str(file.parent)]
    name = volumes[mount["name"]]["configMap"]["name"]
    (folder / file.name).write_text(of_kind(overlay, "ConfigMap")[name]["data"][file.name])
    for entry in container.get("env", ()):
        monkeypatch.setenv(entry["name"], entry.get("value", "cloud-5d4f8c9b7-x2x7z"))
    return load(folder / file.name)


@overlays
def test_configs_load_and_agree_with_services_and_probes(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("edge", "cloud"):
        for variable in [key for key in os.environ if key.startswith(PREFIX)]:
            monkeypatch.delenv(variable)
        item = workloads(overlay)[name]
        (container,) = item["spec"]["template"]["spec"]["containers"]
        config = _config_of(overlay, item, tmp_path, monkeypatch)
        host, port = re.fullmatch(r"mqtt://([a-z-]+):(\d+)", config.broker.url).groups()  # type: ignore[union-attr]
        assert int(port) in {entry["port"] for entry in of_kind(overlay, "Service")[host]["spec"]["ports"]}
        assert (config.http.host, config.http.port) == ("0.0.0.0", container["ports"][0]["containerPort"])  # noqa: S104
        assert bool(config.streams) == (name == "edge")
        if name == "edge":
            assert str(config.sink.out).startswith("/data/")
        else:
            assert config.cloud.worker == "cloud-5d4f8c9b7-x2x7z"


@overlays
def test_commands_are_taken_by_the_real_cli(overlay: str) -> None:
    edge, cloud = (workloads(overlay)[name]["spec"]["template"]["spec"]["containers"][0] for name in ("edge", "cloud"))
    assert tuple(edge["args"][1:6]) == EDGE
    for container in (edge, cloud):
        command = [sys.executable, "-m", "pipeline", *container["args"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        # all that is wrong outside of a pod is that the config is not there
        assert done.returncode == 2
        assert "/etc/tandem/tandem.yaml" in done.stderr.splitlines()[-1], done.stderr


@overlays
def test_network_policies_let_clients_to_the_broker_and_nobody_else(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies.keys() == {"broker", "edge", "cloud"}
    for policy in policies.values():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = policies["broker"]["spec"]["ingress"]
    (peer,) = rule["from"]
    (expression,) = peer["podSelector"]["matchExpressions"]
    assert sorted(expression["values"]) == ["cloud", "edge"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 1883}]
    assert "egress" not in policies["broker"]["spec"]
    for name in ("edge", "cloud"):
        spec = policies[name]["spec"]
        assert "ingress" not in spec
        broker, dns = spec["egress"]
        assert broker["to"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "broker"}}}]
        assert broker["ports"] == [{"protocol": "TCP", "port": 1883}]
        assert {port["port"] for port in dns["ports"]} == {53}


@pytest.mark.mosquitto
@pytest.mark.usefixtures("mosquitto")
def test_the_brokers_config_starts_a_mosquitto_that_serves_the_probes(tmp_path: Path) -> None:
    import time  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    from tests.secured import free_ports  # noqa: PLC0415

    (conf,) = [item["data"]["mosquitto.conf"] for name, item in of_kind(OVERLAYS[0], "ConfigMap").items()
               if "mosquitto.conf" in item["data"]]  # fmt: skip
    (tmp_path / "health").mkdir()
    (tmp_path / "health" / "healthz").write_text("alive")
    mqtt, http = free_ports(2)
    for old, new in {"1883": mqtt, "8080": http, "/data/": f"{tmp_path}/", "/etc/mosquitto/health": tmp_path / "health"}.items():  # fmt: skip  # noqa: E501
        assert str(old) in conf
        conf = conf.replace(old, str(new))
    with running(tmp_path, *conf.splitlines()) as process:
        until_s = time.monotonic() + 10
        while True:
            assert process.poll() is None
            assert time.monotonic() < until_s
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{http}/healthz", timeout=5)
                break
            except OSError:
                time.sleep(0.02)
        with answer:
            assert answer.read() == b"alive"
        published = subprocess.run(["mosquitto_pub", "-p", str(mqtt), "-V", "5", "-t", "a", "-m", "b"], check=False)
        assert published.returncode == 0


def test_the_demo_clip_is_drawn_once_and_can_be_read(tmp_path: Path) -> None:
    script, clip = ROOT / "manifests/components/demo/clip.py", tmp_path / "demo.mp4"
    for _ in range(2):
        subprocess.run([sys.executable, script, clip, "20"], check=True)
        before = clip.read_bytes()
    assert clip.read_bytes() == before
    source = FileSource(str(clip), Every(1))
    source.open()
    assert source.length == 20
    source.close()
    assert ast.parse(script.read_text())


def test_versions_of_image_and_project_agree() -> None:
    component = yaml.safe_load((ROOT / "manifests/components/image/kustomization.yaml").read_text())
    assert f'version = "{component["images"][0]["newTag"]}"' in (ROOT / "pyproject.toml").read_text()
