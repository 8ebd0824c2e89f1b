"""Fitting a miner: changed pictures, what each is worth, folds, and the file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipeline.app.evaluate.boxes import Boxes, in_a_row
from pipeline.app.evaluate.change import VISIBLE, Change, changed, drawn_change
from pipeline.app.evaluate.joint import Class, Joint
from pipeline.app.evaluate.pictures import picture_set
from pipeline.app.fitting.folds import estimated_without, quantiles
from pipeline.app.fitting.learner import fitted
from pipeline.app.fitting.run import fit
from pipeline.app.fitting.sample import Fitting, Sample
from pipeline.app.fitting.worth import gains
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.image import Image
from stages.models import SHIPPED
from tests.conftest import ROOT

AS_IT_IS = Change(flipped=False, zoom=1.0, x=0.0, y=0.0, gamma=1.0, brightness=1.0, quality=95)
WIDTH, HEIGHT = 96, 64


def with_a_spot(x: int, y: int) -> Image:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[y : y + 8, x : x + 8] = 255
    return Image(pixels=pixels)


# Changed pictures


@settings(deadline=None)
@given(st.booleans(), st.floats(0.75, 1.35), st.integers(30, 50), st.integers(20, 30))
def test_labels_go_where_their_objects_go(flipped: bool, zoom: float, x: int, y: int) -> None:  # noqa: FBT001
    change = replace(AS_IT_IS, flipped=flipped, zoom=zoom, x=4.0 if zoom > 1 else -9.0, y=3.0 if zoom > 1 else -6.0)
    (box,), (kept,) = change.boxes(np.array([[x, y, x + 8, y + 8]], np.float64), WIDTH, HEIGHT)
    picture = change.picture(with_a_spot(x, y))
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    grey = cv2.cvtColor(picture.pixels, cv2.COLOR_BGR2GRAY)
    rows, columns = np.nonzero(grey > 160)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert kept
    assert found == pytest.approx(box.tolist(), abs=2)


def test_what_is_cut_off_is_not_labelled() -> None:
    change = replace(AS_IT_IS, x=10.0)
    boxes = np.array([[0, 0, 9, 9], [4, 0, 14, 9], [7, 0, 17, 9], [80, 0, 90, 9]], np.float64)
    moved, kept = change.boxes(boxes, WIDTH, HEIGHT)
    assert kept.tolist() == [False, VISIBLE < 0.4, True, True]
    assert moved[2].tolist() == [0, 0, 7, 9]
    truth = Boxes(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), boxes, np.ones(4))
    after = changed(truth, [change, AS_IT_IS], [(WIDTH, HEIGHT)] * 2)
    assert after.pictures.tolist() == [1, 1]
    np.testing.assert_array_equal(after.xyxy, boxes[2:])


def test_a_change_is_drawn_by_its_seed_and_stays_within_the_picture() -> None:
    changes = [drawn_change((0, 1, seq), WIDTH, HEIGHT) for seq in range(200)]
    assert changes == [drawn_change((0, 1, seq), WIDTH, HEIGHT) for seq in range(200)]
    assert len({change.zoom for change in changes}) == 200
    assert 60 < sum(change.flipped for change in changes) < 140
    for change in changes:
        across = WIDTH / change.zoom
        if change.zoom > 1:
            assert 0 <= change.x <= WIDTH - across + 1e-9
        else:
            assert change.x <= 0
            assert change.x + across >= WIDTH - 1e-9


def test_a_changed_set_is_another_set_and_leaves_out_what_is_damaged(tmp_path: Path) -> None:
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), with_a_spot(40, 20).pixels)
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 3])
    plain = picture_set(str(tmp_path), None, 1, 85)
    one, other = (replace(plain, change=(0, i)) for i in (1, 2))
    assert len({str(each.identity) for each in (plain, one, other)}) == 3
    assert [picture.seq for picture in one.read()] == [1, 3]
    assert next(iter(one.read())).image.jpeg == next(iter(one.read())).image.jpeg
    assert next(iter(one.read())).image.jpeg != next(iter(other.read())).image.jpeg


# What pictures are worth


def random_joint(seed: int, pictures: int = 60) -> Joint:
    rng = np.random.default_rng(seed)

    def of_class() -> Class:
        n = 8 * pictures
        scores = np.sort(rng.uniform(0, 1, n))[::-1]
        cloud = rng.random(n) < 0.5
        right = rng.random(n) < scores * np.where(cloud, 1.0, 0.7)
        places = rng.integers(0, pictures, n)
        return Class(np.maximum(np.bincount(places, right, pictures).astype(np.int64), 1), places, scores, right, cloud)

    return Joint(pictures, (of_class(), of_class()))


@pytest.mark.parametrize("seed", range(4))
def test_the_worths_add_up_to_the_gap_and_rank_as_pictures_that_are_sent_alone(seed: int) -> None:
    joint = random_joint(seed)
    worth = gains(joint)
    edge, cloud = joint.ends()
    assert worth.mean() == pytest.approx(cloud - edge, abs=0.03)
    assert np.corrcoef(worth, joint.gains())[0, 1] > 0.9
    best = joint.nothing
    best[np.argsort(-worth)[:20]] = True
    drawn = [np.isin(np.arange(60), np.random.default_rng(i).permutation(60)[:20]) for i in range(50)]
    assert joint.map50(best) > max(joint.map50(each) for each in drawn)


def test_a_right_detection_more_is_worth_more_the_higher_it_ranks_and_a_wrong_one_costs() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, True])
    joint = Joint(4, (Class(np.ones(4, np.int64), np.arange(4), scores, right, np.full(4, True)),))
    worth = gains(joint)
    assert worth[0] >= worth[1] > worth[3] > 0 > worth[2]


def test_sets_are_put_in_a_row() -> None:
    one = Boxes(np.array([0, 2]), np.array([0, 1]), np.zeros((2, 4)), np.ones(2))
    assert in_a_row([one, one], [3, 5]).pictures.tolist() == [0, 2, 3, 5]


# The regressor


def sample(pictures: int = 80, copies: int = 2) -> Sample:
    """The first number says what is gained, but for chance."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(pictures * copies, 6)).astype(np.float32)
    return Sample(
        np.tile(np.arange(1, pictures + 1), copies),
        rows,
        rows[:, 0] + rng.normal(size=len(rows)),
        [None] * pictures,  # type: ignore[list-item] # nothing looks at them here
        random_joint(0, pictures),
        np.ones(pictures, np.int64),
        ("a", "b"),
    )


def test_the_onnx_model_says_the_same_and_the_same_file_comes_twice() -> None:
    learnt = sample()
    one, again = (fitted(learnt.rows, learnt.gains, learnt.copies) for _ in range(2))
    content = one.onnx({"key": "value"})
    assert content == again.onnx({"key": "value"})
    session = onnxruntime.InferenceSession(content)
    assert session.get_modelmeta().custom_metadata_map["key"] == "value"
    (found,) = session.run(None, {"features": learnt.rows})
    np.testing.assert_allclose(found[:, 0], one.estimates(learnt.rows), atol=1e-4)


def test_estimates_come_from_other_pictures_alone() -> None:
    learnt = sample()
    honest = estimated_without(learnt, 5, 0)
    assert np.corrcoef(honest, learnt.gains[: learnt.pictures])[0, 1] > 0.3
    chance = replace(learnt, gains=np.tile(np.random.default_rng(1).normal(size=learnt.pictures), learnt.copies))
    chance.rows[:, 1] = np.tile(np.arange(learnt.pictures), learnt.copies)  # by which a picture could be known again
    assert np.corrcoef(estimated_without(chance, 5, 0), chance.gains[: learnt.pictures])[0, 1] < 0.3


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=300))
def test_quantiles_rise_even_where_estimates_are_equal(estimates: list[float]) -> None:
    ends = quantiles(np.array(estimates))
    assert len(ends) == 101
    assert (np.diff(ends) > 0).all()
    assert ends[0] == pytest.approx(min(estimates), abs=1e-5)
    assert ends[-1] == pytest.approx(max(estimates), abs=1e-5)


# The command


@pytest.mark.parametrize(
    ("out", "wrong"),
    [
        ("m.txt", "does not end in .onnx"),
        ("1.jpg/m.onnx", "--out: .* cannot be written"),
        (str(SHIPPED["little"]), "this command needs the file"),
    ],
)
def test_a_file_that_cannot_be_is_told_before_anybody_looks(tmp_path: Path, out: str, wrong: str) -> None:
    cv2.imwrite(str(tmp_path / "1.jpg"), with_a_spot(3, 3).pixels)
    asked = Fitting(picture_set(str(tmp_path), None, 1, 85), None, 0, 5, tmp_path / "cache", tmp_path / out)
    with pytest.raises(ConfigError, match=wrong):
        fit(Config(), asked, Console(quiet=True))
    assert not (tmp_path / "cache").exists()


def test_without_the_extra_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.jpg"), with_a_spot(3, 3).pixels)
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "skl2onnx.py").write_text("raise ModuleNotFoundError(name='skl2onnx')")
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", "mine", "fit", str(tmp_path), "-o", str(tmp_path / "m.onnx")],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path / "without"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ".venv/bin/pip install --editable '.[fit]'" in ran.stderr
