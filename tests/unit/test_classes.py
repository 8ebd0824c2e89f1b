"""Models whose classes are not the same, or have no names, are spoken of before anything is compared by them."""

from __future__ import annotations

from contextlib import ExitStack
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from structlog.testing import capture_logs

from pipeline.app.beforehand import checked
from pipeline.app.check import check
from pipeline.app.classes import differing
from pipeline.app.compose import compose
from pipeline.config import Config, validated
from pipeline.stage import StageName
from tests.unit.onnx_models import constant_model, yolov8_output

SHIPPED = ("helmet_on", "helmet_off")


def config(folder: Path, count: int = 3, **cloud: object) -> Config:
    """The shipped little model beside a big one of so many classes without names."""
    output = yolov8_output([[32, 32, 16, 16]], [[0.9] + [0.0] * (count - 1)])
    model = constant_model(folder / "mute.onnx", {"output0": output.astype(np.float32)})
    return validated({"cloud": {"model": str(model), **cloud}})


def notes(config: Config) -> tuple[str, ...]:
    return checked(config).notes


def test_a_model_without_class_names_is_told_where_to_name_them(tmp_path: Path) -> None:
    (note,) = notes(config(tmp_path))
    assert note.startswith("cloud.classes: ")
    assert "mute.onnx has no class names" in note
    assert "--set cloud.classes=person,helmet" in note


def test_models_of_other_classes_are_told_which_they_share(tmp_path: Path) -> None:
    (note,) = notes(config(tmp_path, classes="person,helmet_off,x"))
    assert "the models share only the classes helmet_off: " in note
    assert "the little one alone knows helmet_on" in note
    assert "the big one alone knows person, x" in note
    (note,) = notes(config(tmp_path, classes="car,bus,x"))
    assert note.startswith("the models share no class: ")
    assert notes(config(tmp_path, 2, classes=",".join(SHIPPED))) == ()


def test_the_same_classes_in_another_order_are_the_same() -> None:
    assert differing(SHIPPED, SHIPPED[::-1]) == ""
    many = tuple(f"thing {number}" for number in range(20))
    assert "the big one alone knows thing 0, thing 1, thing 2" in differing((), many)
    assert "thing 7 and 12 more" in differing((), many)


def test_the_shipped_models_need_no_note_and_are_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.app.detectors.check_detector", lambda *_: pytest.fail("it was loaded"))
    assert notes(validated({})) == ()


def test_check_says_it_in_a_line_that_is_no_mistake(tmp_path: Path) -> None:
    said = StringIO()
    check(config(tmp_path), [StageName.CLOUD], Console(file=said))
    lines = said.getvalue().splitlines()
    assert any(line.startswith("note  cloud.classes: ") for line in lines), lines
    assert not any(line.startswith("WRONG cloud") for line in lines), lines


def test_a_worker_logs_it(tmp_path: Path) -> None:
    with ExitStack() as closing, capture_logs() as logs:
        compose(config(tmp_path), [StageName.CLOUD], closing)
    assert [(line["event"], "mute.onnx has no class names" in line["note"]) for line in logs] == [("classes", True)]
