"""Labels of both forms, and what is said of those that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.app.evaluate.labels import Truth, check_labels, read_labels, shots
from pipeline.errors import ConfigError

CLASSES = ("helmet_on", "helmet_off")
PICTURES = shots(["a.jpg", "b.png"], [1, 2], [(200, 100), (400, 300)])


def yolo(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def truth(path: Path) -> Truth:
    return read_labels(path, PICTURES, CLASSES, video=False)


def coco(file: Path, **changed: Any) -> Path:
    table = {
        "images": [{"id": 7, "file_name": "train/a.jpg", "width": 200, "height": 100}, {"id": 8, "file_name": "z.jpg"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "iscrowd": 0}],
        "categories": [{"id": 3, "name": "helmet_off"}, {"id": 4, "name": "vest"}],
    }
    file.write_text(json.dumps({**table, **changed}))
    return file


def test_yolo_text_is_relative_to_each_picture(tmp_path: Path) -> None:
    found = truth(yolo(tmp_path, a="1 0.5 0.5 0.1 0.2\n\n0 0.25 0.5 0.5 1\n", b="0 0.5 0.5 0.5 0.5"))
    assert found.boxes.pictures.tolist() == [0, 0, 1]
    assert found.boxes.labels.tolist() == [1, 0, 0]
    np.testing.assert_allclose(found.boxes.xyxy, [(90, 40, 110, 60), (0, 0, 100, 100), (100, 75, 300, 225)])
    assert found.unlabelled == 0


def test_a_picture_without_a_file_shows_nothing_and_is_counted(tmp_path: Path) -> None:
    found = truth(yolo(tmp_path, a=""))
    assert (len(found.boxes), found.unlabelled) == (0, 1)


def test_classes_txt_renames_what_the_numbers_mean(tmp_path: Path) -> None:
    found = truth(yolo(tmp_path, a="0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n1 .5 .5 .1 .1", classes="helmet_off\nvest\n"))
    assert found.boxes.labels.tolist() == [1]
    assert found.ignored == {"vest": 2}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.1", "4 fields instead of the 5"),
        ("helmet 0.5 0.5 0.1 0.1", "a whole number from 0, not 'helmet'"),
        ("2 0.5 0.5 0.1 0.1", r"2 classes \(helmet_on, helmet_off\): class 2 is out of range"),
        ("0 half 0.5 0.1 0.1", "are numbers"),
        ("0 50 60 10 10", "parts of its width and height"),
        ("0 nan 0.5 0.1 0.1", "not within the picture"),
        ("0 0.5 0.5 0 0.1", "not within the picture"),
    ],
)
def test_an_ill_formed_line_is_named_with_its_file(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"a\.txt, line 2: .*{said}"):
        truth(yolo(tmp_path, a=f"0 0.5 0.5 0.1 0.1\n{line}\n"))


def test_a_box_that_was_rounded_over_the_border_is_taken(tmp_path: Path) -> None:
    assert len(truth(yolo(tmp_path, a="0 0.9501 0.5 0.1 0.1")).boxes) == 1


def test_coco_names_pictures_and_classes(tmp_path: Path) -> None:
    found = truth(coco(tmp_path / "any.json"))
    assert found.boxes.labels.tolist() == [1]
    np.testing.assert_allclose(found.boxes.xyxy, [(10, 20, 40, 60)])
    assert found.unlabelled == 1
    assert len(truth(tmp_path).boxes) == 1, "the only JSON file of a folder"


def test_a_crowd_is_no_object_and_is_counted(tmp_path: Path) -> None:
    one = {"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40]}
    found = truth(coco(tmp_path / "any.json", annotations=[one, {**one, "bbox": [0, 0, 200, 100], "iscrowd": 1}]))
    np.testing.assert_allclose(found.boxes.xyxy, [(10, 20, 40, 60)])
    assert found.crowds == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"annotations": [{"image_id": 7, "category_id": 9, "bbox": [1, 1, 2, 2]}]}, r"annotations\.0: .*category 9"),
        ({"annotations": [{"image_id": 6, "category_id": 3, "bbox": [1, 1, 2, 2]}]}, r"annotations\.0: .*image 6"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 1, 2]}]}, r"annotations\.0\.bbox"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 1, 0, 2]}]}, r"annotations\.0\.bbox\.2"),
        ({"images": [{"id": 7, "file_name": "a.jpg", "width": 640, "height": 480}]}, "640x480 there.* has 200x100"),
        ({"categories": None}, "categories"),
    ],
)
def test_an_ill_formed_entry_of_coco_is_named(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        truth(coco(tmp_path / "any.json", **changed))


def test_labels_of_other_pictures_or_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no labels for any of the 2 pictures \(a, b"):
        truth(yolo(tmp_path, c="0 .5 .5 .1 .1"))
    with pytest.raises(ConfigError, match="labels vest, but the models know helmet_on, helmet_off"):
        truth(yolo(tmp_path, a="0 .5 .5 .1 .1", classes="vest"))
    with pytest.raises(ConfigError, match="cannot be read"):
        truth(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="neither"):
        truth(tmp_path / "empty")


def test_frames_of_a_video_are_known_by_their_numbers(tmp_path: Path) -> None:
    frames = shots([], [1, 11], [(10, 10), (10, 10)])
    found = read_labels(yolo(tmp_path, gate_000011="0 .5 .5 .5 .5"), frames, CLASSES, video=True)
    assert found.boxes.pictures.tolist() == [1]


def test_labels_that_may_be_of_several_pictures_and_pictures_of_several_labels_are_refused(tmp_path: Path) -> None:
    """The last one was taken, which is as good as a wrong one."""
    twins = shots(["a.jpg", "a.png"], [1, 2], [(200, 100), (400, 300)])
    with pytest.raises(ConfigError, match="IMAGES: 2 pictures are called a, which labels cannot tell apart"):
        read_labels(yolo(tmp_path, a="0 .5 .5 .5 .5"), twins, CLASSES, video=False)
    frames = shots([], [1, 11], [(10, 10), (10, 10)])
    folder = yolo(tmp_path, gate_11="0 .5 .5 .5 .5", yard_000011="")
    with pytest.raises(ConfigError, match=r"gate_11.txt and yard_000011.txt in .* are both labels of 11"):
        read_labels(folder, frames, CLASSES, video=True)
    images = [{"id": 7, "file_name": "train/a.jpg"}, {"id": 8, "file_name": "val/a.jpg"}]
    with pytest.raises(ConfigError, match=r"any.json, images: 2 of them are of the picture a"):
        truth(coco(tmp_path / "any.json", images=images))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "neither .txt nor .json files"),
        ({"z": "0 .5 .5 .1 .1"}, "no labels for any of the 2 pictures (a, b, ...)"),
        ({"a": "0 .5 .5"}, "a.txt, line 1: 3 fields"),
    ],
)
def test_labels_are_checked_before_a_model_looks(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_labels(yolo(tmp_path, **files), ["a.jpg", "b.png"])
    assert said in str(caught.value)


def test_of_cocos_labels_the_pictures_are_checked_and_of_a_video_what_can_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no labels for any of the 1 pictures"):
        check_labels(coco(tmp_path / "labels.json"), ["y.jpg"])
    check_labels(coco(tmp_path / "labels.json"), ["a.jpg"])
    check_labels(tmp_path / "labels.json", [])
    with pytest.raises(ConfigError, match="nosuch cannot be read"):
        check_labels(tmp_path / "nosuch", [])
    check_labels(yolo(tmp_path, a="0 .5 .5 .1 .1", notes="not of a picture"), ["a.jpg"])
