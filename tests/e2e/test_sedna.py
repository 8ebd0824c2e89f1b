"""``tandem sedna`` as a user runs it: the guide's example, as its users have it."""

from __future__ import annotations

import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.e2e.user import Tandem
from tests.sedna_guide import GUIDE


@pytest.fixture
def guide(tandem: Tandem) -> Path:
    """The guide's YAML, with the TensorFlow models that it names."""
    file = tandem.folder / "service.yaml"
    file.write_text(GUIDE.replace(".onnx", ".pb").replace('"onnx"', '"pb"'))
    return file


@pytest.mark.mosquitto
def test_the_guides_example_runs_with_the_shipped_models(
    tandem: Tandem, guide: Path, clip: Path, mosquitto: str
) -> None:
    missing = tandem("sedna", guide, "--models", "shipped")
    assert missing.exit_code == 2
    place = tandem.folder / "tandem-nodes/joint_inference/video/video.mp4"
    assert f"put it at {place}, and call this again" in missing.error
    place.parent.mkdir(parents=True)
    shutil.copy(clip, place)
    ran = tandem("sedna", guide, "--models", "shipped", "--set", "reader.every=20")
    assert ran.exit_code == 0, ran
    assert "ledger    balanced" in ran.stdout
    data = place.parent.parent
    assert sorted(path.name for path in (data / "output").iterdir()) == ["1.jpeg", "21.jpeg", "41.jpeg"]
    hard = sorted(path.name for path in (data / "hard_example_edge_inference_output").iterdir())
    assert hard == sorted(path.name for path in (data / "hard_example_cloud_inference_output").iterdir())
    assert hard


def test_the_guides_pb_is_refused_with_what_to_do(tandem: Tandem, guide: Path) -> None:
    ran = tandem("sedna", guide)
    assert ran.exit_code == 2
    assert "Model helmet-detection-inference-little-model: spec.url: it is a TensorFlow graph (.pb)" in ran.error
    assert "convert it with scripts/convert_model.py" in ran.error
    assert "--models shipped" in ran.error


def test_what_the_operator_would_apply_is_rendered(tandem: Tandem, mosquitto: str) -> None:
    (tandem.folder / "service.yaml").write_text(GUIDE)
    ran = tandem("sedna", "service.yaml", "--render", "cluster", "--image", "registry.example/tandem:1")
    assert ran.exit_code == 0, ran
    assert "kubectl apply -k cluster" in ran.stdout
    assert "note: edge: nodeName is $EDGE_NODE" in ran.stdout
    folder = tandem.folder / "cluster"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    objects = [yaml.safe_load((folder / name).read_text()) for name in listed]
    assert {
        (one["kind"], one["metadata"]["name"].removeprefix("helmet-detection-inference-example-")) for one in objects
    } == {
        ("ConfigMap", "broker"),
        ("Secret", "broker"),
        ("Service", "broker"),
        ("NetworkPolicy", "broker"),
        ("Deployment", "broker"),
        ("Deployment", "deployment-edge"),
        ("Deployment", "deployment-cloud"),
    }
    for one in objects:
        assert "/uid" not in str(one)  # what no API server has yet has none, and an empty one is everybody's
        kubernetes_validate.validate(one, "1.37", strict=True)
