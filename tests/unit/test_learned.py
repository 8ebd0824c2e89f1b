"""The miner Learned: its features, its file, and what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from pipeline.app.evaluate.pictures import picture_set
from pipeline.app.little import check_little
from pipeline.app.parts import miner_of
from pipeline.config import Config, DetectorConfig, validated
from pipeline.errors import ConfigError, DropMessage
from pipeline.model import Detections
from stages.mining import features as module
from stages.mining.features import SCORES, TOP, VERSION, feature_names, features
from stages.mining.fitted import METADATA, Fitted, Little
from stages.mining.learned import Learned
from stages.mining.least_confidence import LeastConfidence
from stages.mining.miner import View
from stages.models import SHIPPED, miner_path
from stages.vision.iou import areas, iou

NAMES = ("helmet_on", "helmet_off")
FEATURES = feature_names(NAMES)
SHIPPED_ONE = Learned()
LITTLE = Little(name="little.onnx", sha256="ab" * 32, floor=0.05, iou=0.6)


@st.composite
def frames(draw: st.DrawFn) -> View:
    n = draw(st.integers(0, 130))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    corners = rng.uniform(0, 300, (n, 2))
    boxes = np.hstack([corners, corners + rng.uniform(0, draw(st.sampled_from([0, 20, 300])), (n, 2))])
    scores = np.sort(rng.uniform(0, 1, n).astype(np.float32))[::-1]
    if draw(st.booleans()):
        scores = np.round(scores, 1)
    return view(boxes, scores, rng.integers(0, 2, n))


def view(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, names: tuple[str, ...] = NAMES) -> View:
    seen = Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(scores, np.float32),
        np.asarray(labels, np.int32),
        names,
    )
    return View("gate", 1, 0.0, 640, 360, seen, seen.at_least(0.3), 0.3)


def described(**changed: object) -> Fitted:
    usual = {
        "features": VERSION,
        "classes": NAMES,
        "little": LITTLE,
        "quantiles": tuple(np.linspace(0, 10, 11)),
        "pictures": 100,
        "pictures_sha256": "",
        "changes": 0,
        "labels": "human",
        "seed": 0,
    }
    return Fitted.model_validate(usual | changed)


def written(path: Path, fitted: Fitted | None, metadata: str | None = None) -> Path:
    """A file whose estimate is the sum of the scores of the best boxes."""
    weights = np.array([[float(name.startswith("score "))] for name in FEATURES], np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "w"], ["gain"])],
        "fitted",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info("gain", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    text = metadata if metadata is not None else fitted.model_dump_json() if fitted else None
    if text is not None:
        helper.set_model_props(model, {METADATA: text})
    onnx.save(model, path)
    return path


# Features


@settings(deadline=None)
@given(frames())
def test_a_row_has_a_finite_number_for_each_name(seen: View) -> None:
    row = features(seen, NAMES)
    assert row.shape == (len(FEATURES),) == (len(set(FEATURES)),)
    assert row.dtype == np.float32
    assert np.isfinite(row).all()


@settings(deadline=None)
@given(frames(), st.randoms(use_true_random=False))
def test_the_order_of_boxes_changes_nothing(seen: View, random: object) -> None:
    unequal = np.unique(seen.candidates.scores, return_index=True)[1]
    one = seen.candidates
    order = list(unequal)
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = view(one.boxes[unequal], one.scores[unequal], one.labels[unequal])
    mixed = view(one.boxes[order], one.scores[order], one.labels[order])
    np.testing.assert_array_equal(features(straight, NAMES), features(mixed, NAMES))


@settings(deadline=None)
@given(frames())
def test_soft_counts_hold_each_box_once_and_weigh_up_to_least_confidence(seen: View) -> None:
    row = dict(zip(FEATURES, features(seen, NAMES).astype(np.float64) ** 2, strict=True))
    best = seen.candidates.scores[:100].astype(np.float64)
    for groups in (("small", "medium", "large"), NAMES):
        counts = np.array([sum(row[f"{group} {score:.1f}"] for group in groups) for score in SCORES])
        assert counts.sum() == pytest.approx(len(best), abs=1e-3)
        assert counts @ np.minimum(SCORES, 1 - SCORES) == pytest.approx(np.minimum(best, 1 - best).sum(), abs=1e-3)
    assert row["unsure"] == pytest.approx(LeastConfidence(threshold=0).judge(seen).score, abs=1e-3)
    assert row["from 0.3"] == pytest.approx((best >= 0.3).sum(), abs=1e-3)
    for label, name in enumerate(NAMES):
        of = best[seen.candidates.labels[:100] == label]
        assert row[f"best {name}"] == pytest.approx(of.max(initial=0), abs=1e-5)


@settings(deadline=None)
@given(frames())
def test_the_best_boxes_have_numbers_of_their_own(seen: View) -> None:
    row = dict(zip(FEATURES, features(seen, NAMES), strict=True))
    for i in range(TOP):
        there = i < len(seen.candidates)
        assert row[f"score {i + 1}"] == pytest.approx(seen.candidates.scores[i] if there else 0)
        side = np.sqrt(areas(seen.candidates.boxes[i : i + 1])[0] / (640 * 360)) if there else 0
        assert row[f"side {i + 1}"] == pytest.approx(side, abs=1e-6)


@settings(deadline=None)
@given(frames())
def test_boxes_in_one_place_are_found_by_their_iou(seen: View) -> None:
    row = dict(zip(FEATURES, features(seen, NAMES).astype(np.float64) ** 2, strict=True))
    boxes, scores, labels = (
        column[:TOP] for column in (seen.candidates.boxes, seen.candidates.scores, seen.candidates.labels)
    )
    overlaps = iou(boxes, boxes)
    pairs = [(i, j) for i in range(len(boxes)) for j in range(i) if overlaps[i, j] >= module._IN_PLACE]
    for what, same in (("other", False), ("same", True)):
        expected = sum(float(scores[i] * scores[j]) for i, j in pairs if (labels[i] == labels[j]) == same)
        assert row[f"{what} class in place"] == pytest.approx(expected, abs=1e-4)


def test_boxes_are_in_one_place_from_just_that_iou_on_and_empty_ones_never() -> None:
    empty = [50, 50, 50, 50]
    seen = view(np.array([[0, 0, 10, 10], [0, 0, 10, 4], empty, empty]), np.array([0.8, 0.5, 0.4, 0.4]), np.zeros(4))
    row = dict(zip(FEATURES, features(seen, NAMES), strict=True))
    assert row["same class in place"] == pytest.approx(np.sqrt(0.8 * 0.5))
    assert row["other class in place"] == 0


def test_classes_go_by_their_names_and_others_are_refused() -> None:
    boxes, scores = np.array([[0, 0, 9, 9], [20, 0, 29, 9]]), np.array([0.9, 0.4])
    turned = view(boxes, scores, np.array([1, 0]), NAMES[::-1])
    np.testing.assert_array_equal(features(turned, NAMES), features(view(boxes, scores, np.array([0, 1])), NAMES))
    with pytest.raises(ValueError, match="boxes of cat, and only helmet_on, helmet_off are known"):
        features(view(boxes, scores, np.array([0, 1]), ("helmet_on", "cat")), NAMES)
    np.testing.assert_array_equal(
        features(view(np.zeros((0, 4)), np.zeros(0), np.zeros(0), ()), NAMES)[: len(SCORES)], np.zeros(len(SCORES))
    )


# Its file


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_rank_rises_with_the_gain_and_is_a_share_of_the_pictures(one: float, other: float) -> None:
    fitted = described()
    low, high = sorted((one, other))
    assert 0 <= fitted.rank(low) <= fitted.rank(high) <= 1
    assert fitted.rank(2.5) == pytest.approx(0.25)
    assert [fitted.rank(end) for end in (1.0, 9.0)] == pytest.approx([0.1, 0.9])
    assert fitted.rank(-3) < fitted.rank(0) < 0.1
    assert 0.9 < fitted.rank(10) < fitted.rank(11)


def test_it_sends_what_has_more_to_gain_than_its_threshold_says(tmp_path: Path) -> None:
    miner = Learned(model=str(written(tmp_path / "m.onnx", described())), threshold=0.5)
    boxes = np.array([[i * 20, 0, i * 20 + 9, 9] for i in range(20)])
    for count, score, hard in ((4, 0.4, False), (5, 0.5, True), (6, 0.6, True)):
        verdict = miner.judge(view(boxes[:count], np.ones(count), np.zeros(count)))
        assert (verdict.hard, verdict.score, verdict.threshold) == (hard, pytest.approx(score), 0.5)
        assert f"more than on {score:.0%} of the pictures of m.onnx" in verdict.reason


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (None, r"m\.onnx is no file of `tandem mine fit`"),
        ("{", r"m\.onnx: .*make it again with `tandem mine fit"),
        (
            described(features=VERSION + 1).model_dump_json(),
            rf"m\.onnx takes features of version {VERSION + 1}, .*make",
        ),
        (described().model_dump_json().replace("1.0,", "0.0,"), "quantiles do not rise"),
    ],
)
def test_a_file_of_another_make_is_refused(tmp_path: Path, text: str | None, wrong: str) -> None:
    path = written(tmp_path / "m.onnx", None, text)
    with pytest.raises(ConfigError, match=wrong) as error:
        Learned(model=str(path))
    assert error.value.field == "miner.model"


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"miner\.model: there is no file gone\.onnx"):
        Learned(model="gone.onnx")


def test_boxes_of_other_classes_end_their_frame_with_the_remedy(tmp_path: Path) -> None:
    miner = Learned(model=str(written(tmp_path / "m.onnx", described())))
    seen = view(np.array([[0, 0, 9, 9]]), np.array([0.9]), np.array([0]), ("cat",))
    with pytest.raises(DropMessage, match=r"m\.onnx does not fit .*boxes of cat.*tandem mine fit"):
        miner.judge(seen)


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ({"model": "big"}, r"it is big\.onnx .* instead of little\.onnx"),
        ({"floor": 0.1}, r"its floor is 0\.1 instead of 0\.05"),
        ({"iou": 0.5}, r"its iou is 0\.5 instead of 0\.6"),
        ({"input_shape": "320,320"}, r"its input_shape is \(320, 320\) instead of None"),
    ],
)
def test_another_little_model_is_refused(setting: dict[str, object], wrong: str) -> None:
    config = validated({"detector": setting, "miner": {"name": "Learned"}})
    with pytest.raises(
        ConfigError, match=rf"learned\.onnx was fitted to another little model.*{wrong}.*tandem mine fit"
    ):
        miner_of(config)


def test_a_little_model_that_is_elsewhere_is_taken_at_its_word(tmp_path: Path) -> None:
    check_little(Learned(), DetectorConfig(model=str(tmp_path / "gone.onnx")))


# The shipped one


def test_the_shipped_one_belongs_to_the_shipped_little_model_and_is_small() -> None:
    miner = miner_of(validated({"miner": {"name": "Learned", "threshold": "0.8"}}))
    assert isinstance(miner, Learned)
    assert miner.threshold == 0.8
    assert miner.path == miner_path("learned")
    assert miner.path.parent == SHIPPED["little"].parent
    assert miner.path.stat().st_size < 2 << 20
    assert miner.fitted.labels == "human"
    assert miner.fitted.pictures > 500


@pytest.mark.shared
def test_the_shipped_one_was_fitted_on_the_pictures_for_it(shared: Path) -> None:
    pictures = picture_set(str(shared / "mining" / "images"), None, 1, Config().reader.jpeg_quality)
    assert SHIPPED_ONE.fitted.pictures_sha256 == pictures.digest
    assert SHIPPED_ONE.fitted.pictures == len(pictures.names())


@settings(deadline=None)
@given(frames())
def test_the_shipped_one_has_a_word_on_every_frame(seen: View) -> None:
    verdict = SHIPPED_ONE.judge(seen)
    assert verdict.score is not None
    assert 0 <= verdict.score <= 1
    assert verdict == SHIPPED_ONE.judge(seen)


def test_the_shipped_one_finds_a_sure_and_empty_frame_easy_and_an_unsure_one_hard() -> None:
    miner = SHIPPED_ONE
    assert not miner.judge(view(np.zeros((0, 4)), np.zeros(0), np.zeros(0))).hard
    boxes = np.array([[i * 30, 0, i * 30 + 18, 18] for i in range(20)])
    assert miner.judge(view(boxes, np.linspace(0.6, 0.2, 20), np.arange(20) % 2)).hard
