"""Sedna's objects: the guide's are read as they stand, and every mistake is told in plain words."""

from pathlib import Path, PurePosixPath

import pytest

from pipeline.app.sedna.read import Objects, read_objects
from pipeline.app.sedna.template import Mount
from pipeline.app.sedna.translate import ServicePlan, UnusableService, plan_service
from pipeline.errors import ConfigError
from tests.sedna_guide import GUIDE


def objects(tmp_path: Path, text: str = GUIDE) -> Objects:
    file = tmp_path / "service.yaml"
    file.write_text(text)
    return read_objects(file)


def plan(tmp_path: Path, *changes: tuple[str, str]) -> ServicePlan:
    text = GUIDE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    found = objects(tmp_path, text)
    return plan_service(found.services[0], found.models_of(found.services[0]))


def refusals(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    with pytest.raises(UnusableService) as caught:
        plan(tmp_path, *changes)
    return [str(error) for error in caught.value.exceptions]


def test_the_guides_edge_becomes_tandems_config(tmp_path: Path) -> None:
    edge = plan(tmp_path).edge
    assert edge.config.service == "helmet-detection-inference-example"
    assert edge.config.streams["camera"].source == "file://data/video/video.mp4"
    assert edge.config.detector.input_shape == (416, 736)
    assert edge.config.detector.model == "/models/yolov3_resnet18.onnx"
    assert edge.config.miner.name == "IBT"
    assert edge.config.miner.parameters == {"threshold_img": "0.9", "threshold_box": "0.9"}
    assert edge.config.sink.all_examples == Path("/data/output")
    assert edge.model.folder == PurePosixPath("/data/little-model")
    assert edge.template.mounts == (Mount("outputdir", PurePosixPath("/data"), PurePosixPath("/joint_inference")),)
    assert edge.template.node_name == "$EDGE_NODE"


def test_the_guides_cloud_becomes_tandems_config(tmp_path: Path) -> None:
    cloud = plan(tmp_path).cloud
    assert cloud.config.cloud.model == "/models/yolov3_darknet.onnx"
    assert cloud.config.cloud.input_shape == (544, 544)
    assert "HEM_NAME" not in cloud.environment


_MINING_FIRST = (
    '          - name: "video_url"',
    '          - {name: MINING_MODE, value: mining-then-inference}\n          - name: "video_url"',
)
_BLUR = (
    """      name: "IBT"
      parameters:
        - key: "threshold_img"
          value: "0.9"
        - key: "threshold_box"
          value: "0.9"
""",
    """      name: Blur
""",
)


def test_the_templates_mining_mode_is_the_miners(tmp_path: Path) -> None:
    assert not plan(tmp_path).edge.config.miner.first
    assert plan(tmp_path, _MINING_FIRST, _BLUR).edge.config.miner.first


def test_a_miner_that_needs_boxes_cannot_mine_first(tmp_path: Path) -> None:
    (error,) = refusals(tmp_path, _MINING_FIRST)
    assert "spec.edgeWorker.hardExampleMining.name: IBT judges by boxes" in error
    assert "the mode inference-then-mining" in error


def test_sednas_variables_are_set_as_sedna_sets_them(tmp_path: Path) -> None:
    assert plan(tmp_path).edge.environment == {
        "NAMESPACE": "default",
        "SERVICE_NAME": "helmet-detection-inference-example",
        "MODEL_URL": "/models/yolov3_resnet18.onnx",
        "HEM_NAME": "IBT",
        "HEM_PARAMETERS": ('[{"key": "threshold_img", "value": "0.9"}, {"key": "threshold_box", "value": "0.9"}]'),
    }


def test_a_tensorflow_graph_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    (error,) = refusals(tmp_path, ("yolov3_resnet18.onnx", "yolov3_resnet18.pb"))
    assert error.startswith("Model helmet-detection-inference-little-model: spec.url: ")
    assert "scripts/convert_model.py" in error
    assert "--models shipped" in error


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name: "IBT"', 'name: "IBTT"', "hardExampleMining.name: there is no miner 'IBTT'; did you mean 'IBT'?"),
        ('value: "0.9"', 'value: "high"', "hardExampleMining.parameters: threshold_img: 'high' is not a number"),
        ('key: "threshold_img"', 'key: "treshold_img"', "did you mean 'threshold_img'?"),
        ('name: "helmet-detection-inference-little-model"', "name: small", "there is no Model 'small' in namespace"),
        ('"/data/little-model/yolov3_resnet18.onnx"', '"s3://bucket/a.onnx"', "nothing here fetches from s3://"),
        ('"/data/little-model/yolov3_resnet18.onnx"', '"models/a.onnx"', "is no absolute path"),
        ('"/data/little-model/yolov3_resnet18.onnx"', '"/a.onnx"', "is not in a folder of its own"),
        ('"/data/little-model/yolov3_resnet18.onnx"', '"https:///"', "names no file on a server"),
        ('value: "416,736"', 'value: "416x736"', 'env: input_shape: write height and width as "h,w"'),
        ("mountPath: /data/", "mountPath: data", "mountPath: it has to be an absolute path"),
        ("- name: outputdir\n              mountPath", "- name: outdir\n              mountPath", "no volume 'outdir'"),
        ('- name: "video_url"', '- name: "vidoe_url"', "there is nothing to read: set video_url"),
        ('value: "416,736"', "value: 416", "input_shape has to be a string: put it in quotes"),
        ("name: helmet-detection-inference-example", "name: workers", "'workers' is reserved"),
    ],
)
def test_a_mistake_is_told_in_plain_words(tmp_path: Path, old: str, new: str, words: str) -> None:
    (error,) = refusals(tmp_path, (old, new))
    assert words in error


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    errors = refusals(tmp_path, ('name: "IBT"', 'name: "IBTT"'), ('value: "544,544"', 'value: "544"'))
    assert len(errors) == 2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("hardExampleMining:", "hardExampleMinning:", "there is no such field; did you mean 'hardExampleMining'?"),
        ('- key: "threshold_img"', '- kye: "threshold_img"', "there is no such field; did you mean 'key'?"),
        ("kind: JointInferenceService\n", "", "document 3: kind: it is missing, but"),
        ("kind: JointInferenceService", "kind: JointInference", "document 3: kind: it is 'JointInference', but"),
        ("apiVersion: sedna.io/v1alpha1", "apiVersion: sedna.io/v1", "document 1: apiVersion: it is 'sedna.io/v1'"),
        ("spec:\n  edgeWorker:", "spec:\n  edgeWorker: [", "it is no YAML"),
        ('url: "/data/big-model/yolov3_darknet.onnx", ', "", "spec.url: is required, but not set"),
        ("name: helmet-detection-inference-big-model, ", "name: helmet-detection-inference-little-model, ", "already"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GUIDE
    with pytest.raises(ConfigError) as caught:
        objects(tmp_path, GUIDE.replace(old, new, 1))
    assert "service.yaml" in str(caught.value)
    assert words in str(caught.value)


def test_a_file_without_a_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no JointInferenceService in it"):
        objects(tmp_path, GUIDE.partition("kind: JointInferenceService")[0].rpartition("---")[0])


def test_models_of_another_namespace_are_not_a_services(tmp_path: Path) -> None:
    (error,) = refusals(
        tmp_path,
        (
            "name: helmet-detection-inference-little-model, namespace: default",
            "name: helmet-detection-inference-little-model, namespace: other",
        ),
    )
    assert "there is no Model 'helmet-detection-inference-little-model' in namespace default" in error


def test_a_model_on_a_server_is_fetched_and_a_shipped_one_is_in_the_image(tmp_path: Path) -> None:
    old = '"/data/little-model/yolov3_resnet18.onnx"'
    fetched = plan(tmp_path, (old, '"https://models.example/a%20b.onnx?v=2"')).edge
    assert (fetched.model.fetched, fetched.model.folder) == (True, None)
    assert fetched.config.detector.model == "/models/a b.onnx"
    assert plan(tmp_path, (old, '"little"')).edge.config.detector.model == "little"


def test_an_edge_that_may_grow_is_noted_and_a_cloud_is_not(tmp_path: Path) -> None:
    hpa = ("    hpa: {minReplicas: 1, maxReplicas: 3}\n", "    model:\n      name: ")
    assert plan(tmp_path).notes == ()
    (note,) = plan(tmp_path, ("    model:\n", f"{hpa[0]}    model:\n")).notes
    assert "two replicas would read one camera twice" in note.text
    grown = plan(tmp_path, ("  cloudWorker:\n", f"  cloudWorker:\n{hpa[0]}"))
    assert grown.notes == ()
    assert grown.cloud.worker.hpa is not None
    assert grown.cloud.worker.hpa.max_replicas == 3


def test_a_variable_that_is_almost_one_of_sednas_is_noted_and_others_are_the_users_own(tmp_path: Path) -> None:
    own = "          - {name: CAMERA_SITE, value: north}\n          - {name: Video_URL, value: x}\n"
    found = plan(
        tmp_path,
        ("all_examples_inference_output", "all_example_inference_output"),
        ('          - name: "video_url"', f'{own}          - name: "video_url"'),
    )
    (note,) = found.notes  # Video_URL cannot be meant for video_url, which is there
    assert note.reason == "UnknownVariable"
    assert "spec.edgeWorker.template.spec.containers.0.env: all_example_inference_output is not read" in note.text
    assert "did you mean all_examples_inference_output?" in note.text
    shape = '- name: "input_shape"\n                value: "544,544"'
    (note,) = plan(tmp_path, (shape, "- {name: INPUT_SHAPE, value: a}")).notes
    assert "spec.cloudWorker" in note.text
    assert "did you mean input_shape?" in note.text


def test_a_source_in_a_secret_is_not_missed(tmp_path: Path) -> None:
    old = '- name: "video_url"\n            value: "file://data/video/video.mp4"'
    elsewhere = '- name: "video_url"\n            valueFrom: {secretKeyRef: {name: camera, key: url}}'
    assert plan(tmp_path, (old, elsewhere)).edge.config.streams == {}
