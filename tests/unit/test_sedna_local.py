"""A service without a cluster: every path of node and pod is a folder here, and what is missing is told."""

from pathlib import Path, PurePosixPath

import pytest
from rich.console import Console

from pipeline.app.replay_run import Options
from pipeline.app.sedna import play
from pipeline.app.sedna.local import PodFiles, local_config, notes_of
from pipeline.app.sedna.play import fetch_model, plan_of, play_service
from pipeline.app.sedna.template import Mount
from pipeline.app.sedna.translate import ServicePlan, Side
from pipeline.errors import ConfigError
from tests.sedna_guide import GUIDE

PB = GUIDE.replace(".onnx", ".pb").replace('"onnx"', '"pb"')


def plan(tmp_path: Path, text: str = GUIDE, name: str | None = None, *, shipped: bool = False) -> ServicePlan:
    (tmp_path / "service.yaml").write_text(text)
    return plan_of(tmp_path / "service.yaml", name, shipped=shipped)


def with_video(root: Path) -> Path:
    video = root / "joint_inference/video/video.mp4"
    video.parent.mkdir(parents=True)
    video.touch()
    return video


@pytest.mark.parametrize(
    ("inside", "here"),
    [
        ("/data/output", "joint_inference/output"),
        ("/data", "joint_inference"),
        ("/data/../data/x", "joint_inference/x"),
        ("data/x", "joint_inference/x"),
        ("/data/inner/x", "fast/disk/part/x"),
        ("/data/cache/x", "edge-pod/data/cache/x"),
        ("/database/x", "edge-pod/database/x"),
        ("/data/../../../x", "edge-pod/x"),
    ],
)
def test_a_path_of_the_pod_is_where_its_innermost_mount_is(inside: str, here: str) -> None:
    mounts = (
        Mount("all", PurePosixPath("/data"), PurePosixPath("/joint_inference")),
        Mount("inner", PurePosixPath("/data/inner"), PurePosixPath("/fast/../fast/disk"), "part"),
        Mount("empty", PurePosixPath("/data/cache")),
    )
    assert PodFiles(Path("/r"), Side.EDGE, mounts).here(inside) == Path("/r") / here


def test_the_guides_example_with_its_pb_runs_the_shipped_models_here(tmp_path: Path) -> None:
    video = with_video(tmp_path)
    config = local_config(plan(tmp_path, PB, shipped=True), tmp_path)
    assert config.service == "helmet-detection-inference-example"
    assert config.streams["camera"].source == str(video)
    assert (config.detector.model, config.detector.input_shape) == ("little", (416, 736))
    assert (config.cloud.model, config.cloud.input_shape) == ("big", (544, 544))
    assert config.sink.all_examples == tmp_path / "joint_inference/output"
    assert config.miner.parameters == {"threshold_img": "0.9", "threshold_box": "0.9"}


def test_the_models_that_are_named_are_those_of_the_node(tmp_path: Path) -> None:
    with_video(tmp_path)
    for name in ("little-model/yolov3_resnet18.onnx", "big-model/yolov3_darknet.onnx"):
        (tmp_path / "data" / name).parent.mkdir(parents=True)
        (tmp_path / "data" / name).touch()
    config = local_config(plan(tmp_path), tmp_path)
    assert config.detector.model == str(tmp_path / "data/little-model/yolov3_resnet18.onnx")
    assert config.cloud.model == str(tmp_path / "data/big-model/yolov3_darknet.onnx")


def test_all_that_is_missing_is_told_at_once_and_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        local_config(plan(tmp_path), tmp_path)
    said = str(caught.value)
    assert f"put it at {tmp_path}/data/little-model/yolov3_resnet18.onnx, or say --models shipped" in said
    assert f"put it at {tmp_path}/data/big-model/yolov3_darknet.onnx, or" in said
    assert f"put it at {tmp_path}/joint_inference/video/video.mp4, and call this again" in said


def test_what_a_setting_replaces_need_not_be_there(tmp_path: Path) -> None:
    file = tmp_path / "site.mp4"
    settings = {
        "streams": {"camera": {"source": str(file)}},
        "detector": {"model": "little"},
        "cloud": {"model": "big"},
    }
    config = local_config(plan(tmp_path), tmp_path, settings)
    assert config.streams["camera"].source == str(file)
    assert (config.detector.model, config.cloud.model) == ("little", "big")
    with pytest.raises(ConfigError, match=r"video\.mp4, and call this again\.$"):
        local_config(plan(tmp_path), tmp_path, {name: settings[name] for name in ("detector", "cloud")})


def test_a_model_of_a_server_is_fetched_once_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_video(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(play, "fetch", lambda url, file: (asked.append(url), file.write_bytes(b"model")))
    url = "https://models.example/yolov3_darknet.onnx"
    little = GUIDE.replace("/data/little-model/yolov3_resnet18.onnx", "little")
    found = plan(tmp_path, little.replace("/data/big-model/yolov3_darknet.onnx", url))
    for worker in (found.edge, found.cloud, found.cloud):
        fetch_model(worker, tmp_path, Console(quiet=True))
    assert asked == [url]
    config = local_config(found, tmp_path)
    assert config.cloud.model == str(tmp_path / "cloud-pod/models/yolov3_darknet.onnx")
    assert config.detector.model == "little"
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--root"):
        fetch_model(found.cloud, tmp_path / "file", Console(quiet=True))


def test_a_model_of_a_server_that_a_setting_replaces_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_video(tmp_path)
    asked: list[str] = []
    monkeypatch.setattr(play, "fetch", lambda url, _: asked.append(url))
    monkeypatch.setattr(play, "replay", lambda config, *_: (config.detector.model, config.cloud.model))
    little, big = "https://models.example/little.onnx", "https://models.example/big.onnx"
    text = GUIDE.replace("/data/little-model/yolov3_resnet18.onnx", little)
    found = plan(tmp_path, text.replace("/data/big-model/yolov3_darknet.onnx", big))
    settings = {"detector": {"model": "little"}, "cloud": {"model": "big"}}
    assert play_service(found, tmp_path, Options(), Console(quiet=True), settings) == ("little", "big")
    assert asked == []


def test_the_brokers_address_and_user_are_those_of_the_cluster_and_not_used(tmp_path: Path) -> None:
    with_video(tmp_path)
    named = "          env:\n          - {name: TANDEM_BROKER__URL, value: 'mqtt://broker.example'}\n"
    named += "          - {name: TANDEM_BROKER__USERNAME, value: edge}\n"
    config = local_config(plan(tmp_path, GUIDE.replace("          env:\n", named, 1), shipped=True), tmp_path)
    assert (config.broker.url, config.broker.username) == ("mqtt://127.0.0.1:1883", None)


def test_a_camera_is_read_as_it_is(tmp_path: Path) -> None:
    camera = GUIDE.replace("file://data/video/video.mp4", "rtsp://camera.example/gate")
    config = local_config(plan(tmp_path, camera, shipped=True), tmp_path)
    assert config.streams["camera"].source == "rtsp://camera.example/gate"


def test_what_only_a_pod_knows_is_noted(tmp_path: Path) -> None:
    variable = "          env:\n          - {name: TANDEM_SEED, valueFrom: {secretKeyRef: {name: s, key: k}}}\n"
    (note,) = notes_of(plan(tmp_path, GUIDE.replace("          env:\n", variable, 1)))
    assert "edge: TANDEM_SEED is known in a pod alone" in note
    assert not list(notes_of(plan(tmp_path)))


def test_containers_that_are_not_run_here_are_noted(tmp_path: Path) -> None:
    before, beside = "        containers:\n", "        volumes:\n"
    text = GUIDE.replace(before, f"        initContainers:\n        - {{name: fetch, image: f}}\n{before}", 1)
    text = text.replace(beside, f"        - {{name: proxy, image: p}}\n{beside}", 1)
    (note,) = notes_of(plan(tmp_path, text))
    assert note.startswith("edge: the init container 'fetch', the container 'proxy' is left out here")


def test_everything_that_is_wrong_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(tmp_path, PB.replace('"IBT"', '"IBTT"'))
    said = str(caught.value)
    assert said.count("scripts/convert_model.py") == said.count("--models shipped") == 2
    assert "did you mean" in said


def test_one_of_several_services_is_chosen(tmp_path: Path) -> None:
    service = GUIDE[GUIDE.index("---\napiVersion: sedna.io/v1alpha1\nkind: Joint") :]
    two = GUIDE + service.replace("name: helmet-detection-inference-example", "name: second")
    assert plan(tmp_path, two, "second").service.metadata.name == "second"
    with pytest.raises(ConfigError, match=r"helmet-detection-inference-example, second: choose one with --service"):
        plan(tmp_path, two)
    with pytest.raises(ConfigError, match="no service 'third'"):
        plan(tmp_path, two, "third")


@pytest.mark.parametrize("given", [None, 5, "little"])
def test_a_setting_that_is_no_section_is_told(tmp_path: Path, given: object) -> None:
    with pytest.raises(ConfigError, match="detector: is a section"):
        play_service(plan(tmp_path), tmp_path, Options(), Console(quiet=True), {"detector": given})
