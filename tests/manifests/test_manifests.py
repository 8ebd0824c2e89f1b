"""The overlays: their schemas, and what schemas miss."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from kubernetes.utils.quantity import parse_quantity
from typer.testing import CliRunner

from pipeline.app.parts import EDGE
from pipeline.cli import app
from pipeline.config import load, without_settings
from pipeline.errors import ConfigError
from stages.sources.file import FileSource
from stages.sources.sampling import Every
from tests.conftest import ROOT
from tests.manifests.rendered import (
    OVERLAYS,
    config_files,
    containers,
    environment,
    kustomized,
    labels,
    main,
    of_kind,
    rendered,
    stages,
    workloads,
)

OLDEST, NEWEST = "1.25", "1.37"
overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@overlays
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_schemas_hold_strictly(overlay: str, version: str) -> None:
    assert rendered(overlay)
    for item in rendered(overlay):
        _validate(json.dumps(item), version)


@cache
def _validate(item: str, version: str) -> None:
    """Overlays share most objects, and a schema is read anew for each."""
    kubernetes_validate.validate(json.loads(item), version, strict=True)


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
        sources = [part for volume in volumes for part in volume.get("projected", {"sources": [volume]})["sources"]]
        for source in (source["configMap"] for source in sources if "configMap" in source):
            assert {file["key"] for file in source.get("items", ())} <= maps[source["name"]]["data"].keys()
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
        allowed = {"name", "configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
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
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
            ports = {port["name"] for port in container["ports"]}
            started = {"startupProbe": "/healthz"} if "args" in container and container["args"][0] == "run" else {}
            for probe, path in {**started, "livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
                assert container[probe]["httpGet"]["path"] == path
                assert container[probe]["httpGet"]["port"] in ports
    for item in stages(overlay).values():
        if main(item)["args"][1] != "cloud":
            assert item["spec"]["strategy"] == {"type": "Recreate"}
            assert item["spec"]["replicas"] == 1


@overlays
def test_configs_load_and_agree_with_services_and_probes(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, item in stages(overlay).items():
        container = main(item)
        file = Path(container["args"][container["args"].index("--config") + 1])
        (tmp_path / name).mkdir()
        config_files(overlay, item, str(file.parent), tmp_path / name)
        with monkeypatch.context() as patch:
            patch.setattr("os.environ", without_settings(os.environ) | environment(overlay, container))
            config = load(tmp_path / name / file.name)
        host, port = re.fullmatch(r"mqtts?://([a-z-]+):(\d+)", config.broker.url).groups()  # type: ignore[union-attr]
        assert int(port) in {entry["port"] for entry in of_kind(overlay, "Service")[host]["spec"]["ports"]}
        assert (config.http.host, config.http.port) == ("0.0.0.0", container["ports"][0]["containerPort"])  # noqa: S104
        if name == "cloud":
            assert not config.streams
            assert config.cloud.worker == "edge-or-cloud-5d4f8c9b7-x2x7z"
        else:
            assert config.streams.keys() == {"demo"}
            assert str(config.sink.out).startswith("/data/")


@overlays
def test_every_stage_runs_once_and_processes_differ(overlay: str) -> None:
    commands = {name: main(item)["args"] for name, item in stages(overlay).items()}
    assert sorted(stage for args in commands.values() for stage in args[1 : args.index("--config")]) == sorted(
        (*EDGE, "cloud")
    )
    if overlay == "split":
        processes = [environment(overlay, main(item)).get("TANDEM_PROCESS") for item in stages(overlay).values()]
        assert len(set(processes)) == len(processes) == 6


@overlays
def test_stages_that_keep_something_have_a_disk(overlay: str) -> None:
    for item in stages(overlay).values():
        volumes = item["spec"]["template"]["spec"]["volumes"]
        claims = [volume for volume in volumes if "persistentVolumeClaim" in volume]
        assert bool(claims) == bool({"uplink", "sink"} & set(main(item)["args"]))
        assert [volume["name"] for volume in claims] in ([], ["data"])


@overlays
def test_commands_are_taken_by_the_real_cli(overlay: str) -> None:
    for item in stages(overlay).values():
        # all that is wrong outside of a pod is that the config is not there
        with pytest.raises(ConfigError, match=r"/etc/tandem/tandem\.yaml"):
            CliRunner().invoke(app, main(item)["args"], catch_exceptions=False)


@overlays
def test_secrets_are_those_that_the_readme_makes(overlay: str) -> None:
    text = json.dumps([item["spec"]["template"]["spec"]["volumes"] for item in workloads(overlay).values()])
    named = set(re.findall(r'"secret(?:Name)?": (?:{"name": )?"([a-z-]+)"', text))
    assert bool(named) == overlay.endswith("-tls")
    made = re.findall(r"create secret generic ([a-z-]+) --from-file=", (ROOT / "README.md").read_text())
    assert named <= set(made)


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


@overlays
def test_with_the_component_metrics_prometheus_reaches_every_stage_and_nothing_else(
    overlay: str, tmp_path: Path
) -> None:
    def relative(folder: str) -> str:
        return os.path.relpath(ROOT / "manifests" / folder, tmp_path.resolve())

    both = {"resources": [relative(f"overlays/{overlay}")], "components": [relative("components/metrics")]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(both))
    plain = rendered(overlay)
    added = [item for item in kustomized(tmp_path.resolve()) if item not in plain]
    (policy,) = added
    _validate(json.dumps(policy), OLDEST)
    assert policy["metadata"]["namespace"] == "tandem"
    ((names,),) = (policy["spec"]["podSelector"]["matchExpressions"],)
    selected = {name for name, item in workloads(overlay).items() if labels(item)[names["key"]] in names["values"]}
    assert selected == set(stages(overlay))
    (rule,) = policy["spec"]["ingress"]
    (port,) = rule["ports"]
    for item in stages(overlay).values():
        assert port["port"] in {each["name"] for each in main(item)["ports"]}
