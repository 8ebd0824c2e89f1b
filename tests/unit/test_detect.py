"""Detectors, from a model's file to boxes in the picture's own pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto

from pipeline.errors import ConfigError, DropMessage
from pipeline.image import Image, encode_jpeg
from stages.models import model_path
from stages.vision.class_names import known_names
from stages.vision.detect import OnnxDetector
from stages.vision.load import load_detector
from tests.unit.onnx_models import (
    FREE,
    constant_model,
    mean_colour_model,
    only_64_model,
    sedna_little_model,
    yolov8_output,
)

Array = npt.NDArray[Any]

TWO = {"names": "{0: 'on', 1: 'off'}"}


def picture(width: int = 192, height: int = 128, colour: tuple[int, int, int] = (0, 0, 0)) -> Image:
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = colour
    return Image(pixels=pixels)


def one_output(path: Path, output: Array, **options: Any) -> OnnxDetector:
    """A detector of 64 x 96 input that always answers ``output``."""
    metadata = options.pop("metadata", TWO)
    return load_detector(
        "detector", constant_model(path / "mine.onnx", {"output0": output}, metadata=metadata), **options
    )


def overlaps(one: Array, other: Array) -> Array:
    """IoU of each of (N, 4) with each of (M, 4)."""
    sides = np.minimum(one[:, None, 2:], other[None, :, 2:]) - np.maximum(one[:, None, :2], other[None, :, :2])
    shared = np.prod(np.maximum(sides, 0), axis=2)
    area = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    return np.asarray(shared / (area[0][:, None] + area[1][None] - shared))


def test_boxes_come_in_source_pixels_best_first(tmp_path: Path) -> None:
    output = yolov8_output([[48, 32, 24, 16], [20, 20, 8, 8]], [[0.4, 0.1], [0.2, 0.9]])
    found = one_output(tmp_path, output).detect(picture(960, 640))
    assert found.boxes.tolist() == [[160, 160, 240, 240], [360, 240, 600, 400]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.4])
    assert [found.names[label] for label in found.labels] == ["off", "on"]


def test_letterbox_bars_are_taken_off(tmp_path: Path) -> None:
    # 960 x 320 lies in 64 x 96 as 96 x 32, 16 from the top.
    output = yolov8_output([[48, 32, 96, 64]], [[0.4, 0.1]])
    assert one_output(tmp_path, output).detect(picture(960, 320)).boxes.tolist() == [[0, 0, 960, 320]]


def test_overlapping_boxes_of_a_class_are_one(tmp_path: Path) -> None:
    boxes = [[48, 32, 24, 16], [48, 32, 24, 15], [48, 32, 24, 16]]
    output = yolov8_output(boxes, [[0.4, 0], [0.5, 0], [0, 0.3]])
    found = one_output(tmp_path, output).detect(picture())
    assert found.scores.tolist() == pytest.approx([0.5, 0.3])
    looser = one_output(tmp_path, output, iou=0.99).detect(picture())
    assert looser.scores.tolist() == pytest.approx([0.5, 0.4, 0.3])


def test_floor_and_the_most_detections(tmp_path: Path) -> None:
    boxes = [[8 + 16 * n, 32, 8, 8] for n in range(5)]
    output = yolov8_output(boxes, [[0.04, 0], [0.05, 0], [0.3, 0], [0.2, 0], [0.1, 0]])
    assert one_output(tmp_path, output).detect(picture()).scores.tolist() == pytest.approx([0.3, 0.2, 0.1, 0.05])
    few = one_output(tmp_path, output, floor=0.15, max_detections=1)
    assert few.detect(picture()).scores.tolist() == pytest.approx([0.3])


def test_boxes_off_the_picture_are_dropped(tmp_path: Path) -> None:
    # The bars are 16 high: a box in them, one turned inside out, one that is not finite.
    boxes = [[48, 8, 10, 10], [48, 32, -10, 10], [np.inf, 32, 10, 10], [48, 32, 10, 10]]
    output = yolov8_output(boxes, [[0.9, 0], [0.8, 0], [0.7, 0], [0.6, 0]])
    assert one_output(tmp_path, output).detect(picture(960, 320)).scores.tolist() == pytest.approx([0.6])


def test_a_score_a_hair_above_1_is_1(tmp_path: Path) -> None:
    output = yolov8_output([[48, 32, 10, 10]], [[1.001, 0]])
    assert one_output(tmp_path, output).detect(picture()).scores.tolist() == [1]


def test_a_model_of_nan_sees_nothing(tmp_path: Path) -> None:
    output = np.full((1, 6, 126), np.nan, np.float32)
    assert len(one_output(tmp_path, output).detect(picture())) == 0


@pytest.mark.parametrize("channels_last", [False, True])
def test_pictures_are_fed_as_rgb_in_the_models_layout(tmp_path: Path, *, channels_last: bool) -> None:
    shape = (1, 64, 64, 3) if channels_last else (1, 3, 64, 64)
    path = mean_colour_model(tmp_path / "m.onnx", input_shape=shape, channels_last=channels_last)
    for bgr, name in (((250, 50, 0), "blue"), ((0, 250, 50), "green"), ((50, 0, 250), "red")):
        found = load_detector("detector", path).detect(picture(64, 64, bgr))
        assert [found.names[label] for label in found.labels] == [name]
        assert found.best == pytest.approx(250 / 255, abs=1e-3)


def test_half_precision_models_are_fed_half_precision(tmp_path: Path) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.5, 0]]).astype(np.float16)
    path = constant_model(tmp_path / "m.onnx", {"output0": output}, input_type=TensorProto.FLOAT16, metadata=TWO)
    assert load_detector("detector", path).detect(picture(960, 640)).boxes.tolist() == [[360, 240, 600, 400]]


def test_end_to_end_models_do_their_own_nms(tmp_path: Path) -> None:
    output = np.zeros((1, 300, 6), np.float32)
    output[0, :2] = [[10, 10, 20, 20, 0.5, 1], [10, 10, 20, 20, 0.7, 1]]
    found = one_output(tmp_path, output).detect(picture(960, 640))
    assert found.scores.tolist() == pytest.approx([0.7, 0.5])
    assert found.boxes.tolist() == [[100, 100, 200, 200]] * 2


@pytest.mark.parametrize("shape_type", [TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64])
def test_sednas_little_gets_the_sources_shape(tmp_path: Path, shape_type: int) -> None:
    path = sedna_little_model(tmp_path / "m.onnx", shape_type=shape_type)
    detector = load_detector("detector", path, class_names=("person", "helmet", "helmet_on", "helmet_off"))
    found = detector.detect(picture(800, 400))
    assert found.boxes.tolist() == [[200, 100, 400, 200]]
    assert [found.names[label] for label in found.labels] == ["helmet_on"]
    # A JPEG is decoded at 1/8 for this, but the shape fed stays the source's.
    assert detector.detect(Image(jpeg=encode_jpeg(np.zeros((400, 800, 3), np.uint8), 90))).boxes.tolist() == [
        [200, 100, 400, 200]
    ]


def test_sednas_big_is_read(tmp_path: Path) -> None:
    scales = {name: np.zeros((1, side, side, 3, 9), np.float32) for name, side in (("s", 8), ("m", 4), ("l", 2))}
    scales["m"][0, 1, 2, 1] = (32, 32, 16, 16, 0.9, 0, 0, 0, 1)
    path = constant_model(tmp_path / "m.onnx", scales, input_shape=("batch", 64, 64, 3))
    found = load_detector("cloud", path, class_names=("person", "helmet", "helmet_on", "helmet_off")).detect(
        picture(128, 128)
    )
    assert found.boxes.tolist() == [[48, 48, 80, 80]]
    assert [found.names[label] for label in found.labels] == ["helmet_off"]


# Class names


def test_the_configs_names_come_before_the_models(tmp_path: Path) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    assert one_output(tmp_path, output, class_names=("a", "b")).names == ("a", "b")


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_a_wrong_number_of_names_is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    with pytest.raises(
        ConfigError, match=rf"detector\.classes: there are {len(names)} names .* of 2 classes: name all 2"
    ):
        one_output(tmp_path, output, class_names=names)


@pytest.mark.parametrize("name", ["b\n", "\x1bb", "b\u2029c", "b\ud800", "b" * 257])
def test_a_name_that_does_not_fit_into_a_line_is_refused(tmp_path: Path, name: str) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    with pytest.raises(
        ConfigError, match=r"detector\.classes: class 1 of the model is called '.*': give names of up to"
    ):
        one_output(tmp_path, output, metadata={"names": repr({0: "a", 1: name})})


def test_without_names_classes_are_counted(tmp_path: Path) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.1, 0.4]])
    assert one_output(tmp_path, output, metadata={}).names == ("class0", "class1")


def test_a_label_beyond_the_names_is_called_by_its_number(tmp_path: Path) -> None:
    output = np.zeros((1, 300, 6), np.float32)
    output[0, 0] = (10, 10, 20, 20, 0.5, 3)
    found = one_output(tmp_path, output).detect(picture())
    assert found.names == ("on", "off", "class2", "class3")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{0: 'on', 1: 'off'}", ("on", "off")),
        ("{1: 'off', 0: 'on'}", ("on", "off")),
        ("['on', 'off']", ("on", "off")),
        ("{0: 'on', 2: 'off'}", None),
        ("__import__('os').abort()", None),
        ("on, off", None),
        ("{}", None),
        ("7", None),
        ("(" * 500, None),
        ("", None),
    ],
)
def test_names_in_the_metadata(text: str, names: tuple[str, ...] | None) -> None:
    assert known_names(None, {"names": text}) == names


# The size of the input


def test_the_metadatas_size_is_the_default() -> None:
    assert load_detector("detector", model_path("little")).input_shape == (256, 416)


@pytest.mark.parametrize(("imgsz", "shape"), [("[64, 96]", (64, 96)), ("64", (64, 64)), ("(64, 32)", (64, 32))])
def test_sizes_in_the_metadata(tmp_path: Path, imgsz: str, shape: tuple[int, int]) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    path = constant_model(tmp_path / "m.onnx", {"o": output}, input_shape=FREE, metadata={**TWO, "imgsz": imgsz})
    assert load_detector("detector", path).input_shape == shape


def test_the_configs_size_comes_before() -> None:
    detector = load_detector("detector", model_path("little"), input_shape=(128, 160))
    assert detector.input_shape == (128, 160)
    detector.warm_up()


@pytest.mark.parametrize("imgsz", ["", "large", "[1, 2, 3]", "['a', 'b']"])
def test_a_size_that_nobody_knows_is_asked_for(tmp_path: Path, imgsz: str) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    path = constant_model(tmp_path / "m.onnx", {"o": output}, input_shape=FREE, metadata={"imgsz": imgsz})
    with pytest.raises(
        ConfigError, match=r'detector\.input_shape: the model takes .* any size: set it to "height,width"'
    ):
        load_detector("detector", path)


def test_a_size_other_than_the_models_own_is_refused(tmp_path: Path) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    with pytest.raises(
        ConfigError, match=r'detector\.input_shape: "416,416" is not what .* made for, "64,96": set that'
    ):
        one_output(tmp_path, output, input_shape=(416, 416))
    assert one_output(tmp_path, output, input_shape=(64, 96)).input_shape == (64, 96)


@pytest.mark.parametrize(("side", "nearest"), [(250, "224 or 256"), (31, "32"), (417, "416 or 448")])
def test_a_size_that_is_no_multiple_of_the_stride_is_refused(side: int, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"cloud\.input_shape: {side} is no multiple of 32, .*: use {nearest}$"):
        load_detector("cloud", model_path("little"), input_shape=(64, side))


@pytest.mark.parametrize("shape", [(64, 99_968), (0, 64), (-32, 64)])
def test_a_size_beyond_reason_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"detector\.input_shape: .* outside of 1 to 8192"):
        load_detector("detector", model_path("little"), input_shape=shape)


def test_a_size_that_the_model_fails_on_is_refused(tmp_path: Path) -> None:
    path = only_64_model(tmp_path / "m.onnx")
    with pytest.raises(
        ConfigError, match=r"detector\.input_shape: the model does not run on a picture of 96x96"
    ) as caught:
        load_detector("detector", path, input_shape=(96, 96))
    assert isinstance(caught.value.__cause__, DropMessage)
    assert load_detector("detector", path, input_shape=(64, 64)).names == tuple(f"class{n}" for n in range(8))


# What no detector is


@pytest.mark.parametrize(
    ("input_shape", "input_type"),
    [
        ((4, 3, 64, 96), TensorProto.FLOAT),
        ((1, 1, 64, 96), TensorProto.FLOAT),
        ((1, 3, 64, 96), TensorProto.UINT8),
        ((1, 100), TensorProto.FLOAT),
    ],
)
def test_a_model_that_takes_no_picture_is_refused(
    tmp_path: Path, input_shape: tuple[int, ...], input_type: int
) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    path = constant_model(tmp_path / "m.onnx", {"o": output}, input_shape=input_shape, input_type=input_type)
    with pytest.raises(
        ConfigError, match=r"detector\.model: its inputs are images \(.*, but a detector takes one picture"
    ):
        load_detector("detector", path)


def test_a_second_input_that_is_no_shape_is_refused(tmp_path: Path) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    more = {"prompt": (TensorProto.INT64, (1, 77))}
    path = constant_model(tmp_path / "m.onnx", {"o": output}, more_inputs=more)
    with pytest.raises(ConfigError, match=r"prompt \(1, 77\) int64, but a detector takes"):
        load_detector("detector", path)


def test_a_model_trained_for_another_task_is_refused(tmp_path: Path) -> None:
    output = yolov8_output([[48, 32, 24, 16]], [[0.4, 0.1]])
    with pytest.raises(ConfigError, match=r"detector\.model: it was trained to 'segment': use a model"):
        one_output(tmp_path, output, metadata={"task": "segment"})


def test_an_unknown_head_names_the_section(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"detector\.model: its head is unknown: the outputs are output0 \(1, 10\)"):
        one_output(tmp_path, np.zeros((1, 10), np.float32))


# The shipped models on real pictures


def test_a_detector_says_who_it_is() -> None:
    detector = load_detector("detector", model_path("little"))
    assert (detector.model, detector.names) == ("little", ("helmet_on", "helmet_off"))
    assert detector.provider == "CPUExecutionProvider"


def test_the_same_picture_gives_the_same_detections(shared: Path) -> None:
    detector = load_detector("detector", model_path("little"))
    first = next(iter(sorted((shared / "eval/hardhat/images").iterdir())))
    pixels = cv2.imread(str(first))
    one = detector.detect(Image(pixels=pixels))
    detector.detect(picture(640, 360, (90, 10, 200)))
    two = detector.detect(Image(pixels=pixels))
    assert len(one) > 0
    assert (one.boxes == two.boxes).all()
    assert (one.scores == two.scores).all()


def test_the_big_model_finds_the_labelled_heads(shared: Path) -> None:
    detector = load_detector("cloud", model_path("big"))
    found = total = 0
    for path in sorted((shared / "eval/hardhat/images").iterdir())[:12]:
        image = Image(jpeg=path.read_bytes())
        seen = detector.detect(image).at_least(0.3)
        label_file = shared / "eval/hardhat/labels" / f"{path.stem}.txt"
        table = np.array([line.split() for line in label_file.read_text().splitlines()], np.float32).reshape(-1, 5)
        centres, sides = table[:, 1:3], table[:, 3:5]
        truth = np.concatenate((centres - sides / 2, centres + sides / 2), axis=1)
        truth *= np.array([image.width, image.height] * 2)
        same_class = table[:, :1] == seen.labels[None]
        found += int(((overlaps(truth, seen.boxes) > 0.5) & same_class).any(axis=1).sum())
        total += len(table)
    assert found / total > 0.8


def test_a_jpeg_decoded_small_gives_nearly_the_same_boxes(shared: Path) -> None:
    detector = load_detector("cloud", model_path("big"))
    capture = cv2.VideoCapture(str(shared / "video/worker-zone-1080p.mp4"))
    best: list[float] = []
    seq = 0
    while capture.grab():
        seq += 1
        if seq % 10 == 1:
            jpeg = encode_jpeg(np.asarray(capture.retrieve()[1], np.uint8), 90)
            whole = Image(jpeg=jpeg)
            assert whole.pixels.shape[0] == 1080
            full, small = detector.detect(whole).at_least(0.4), detector.detect(Image(jpeg=jpeg))
            best += overlaps(full.boxes, small.boxes).max(axis=1, initial=0).tolist()
    capture.release()
    assert len(best) >= 3
    assert np.median(best) > 0.9
    assert min(best) > 0.7
