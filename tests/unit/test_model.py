"""What frames, detections and verdicts are made of is checked once, when it is made."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import MAX_COUNT, Counts, Detections, FrameId, Tally, stream_name
from tests.examples import detections


@pytest.mark.parametrize("name", ["a", "0", "-", "north-gate-2", "x" * 63])
def test_names_are_taken(name: str) -> None:
    assert stream_name(name) == name


@pytest.mark.parametrize("name", ["", "Gate", "north_gate", "a/b", "a+", "#", "x" * 64, "gäte", "a\n", " a", "."])
def test_no_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(ValueError, match="is no name: use 1 to 63 of a-z, 0-9 and '-'"):
        stream_name(name)


@pytest.mark.parametrize("name", ["workers", "stages"])
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is reserved: choose another name"):
        stream_name(name)


def test_a_frame_is_named_by_stream_and_number() -> None:
    assert str(FrameId("gate", 11)) == "gate/11"
    assert FrameId("gate", 2) < FrameId("gate", 11) < FrameId("yard", 1)
    assert {FrameId("gate", 1): "kept"}[FrameId("gate", 1)] == "kept"


@pytest.mark.parametrize(("seq", "reason"), [(0, "count from 1"), (-1, "count from 1"), (MAX_COUNT, "too large")])
def test_frames_count_from_1_to_what_json_carries(seq: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        FrameId("gate", seq)
    assert FrameId("gate", MAX_COUNT - 1).seq == 2**53 - 1


def test_a_frame_has_a_valid_stream() -> None:
    with pytest.raises(ValueError, match="'workers' is reserved"):
        FrameId("workers", 1)


def test_no_detections_are_detections() -> None:
    nothing = Detections.empty(["person"])
    assert len(nothing) == 0
    assert nothing.names == ("person",)
    assert nothing.best == 0.0
    assert nothing.boxes.shape == (0, 4)
    assert nothing.at_least(0.5) is nothing


def test_detections_at_least_a_score_keep_their_columns_together() -> None:
    some = detections((0.9, 0.5, 0.4))
    kept = some.at_least(0.5)
    assert kept.scores.tolist() == some.scores[:2].tolist()
    assert kept.boxes.tolist() == some.boxes[:2].tolist()
    assert kept.labels.tolist() == [0, 1]
    assert kept.names == some.names
    assert some.at_least(0.4) is some
    assert len(some.at_least(0.95)) == 0


@given(st.lists(st.floats(0, 1, width=32), max_size=20), st.floats(0, 1))
def test_at_least_compares_as_float32(scores: list[float], threshold: float) -> None:
    kept = detections(scores).at_least(threshold)
    assert kept.scores.tolist() == [score for score in scores if np.float32(score) >= np.float32(threshold)]
    assert detections(scores).best == max(scores, default=0.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"boxes": np.zeros((3, 4), np.float32)}, r"boxes \(3, 4\), scores \(2,\) and labels \(2,\) do not match"),
        ({"boxes": np.zeros((2, 5), np.float32)}, "do not match"),
        ({"scores": np.zeros((2, 1), np.float32)}, "do not match"),
        ({"labels": np.zeros(3, np.int32)}, "do not match"),
        ({"boxes": np.full((2, 4), np.nan, np.float32)}, "boxes and scores must be finite numbers"),
        ({"boxes": np.full((2, 4), np.inf, np.float32)}, "boxes and scores must be finite numbers"),
        ({"boxes": np.full((2, 4), 3e9, np.float32)}, r"boxes must lie within 1e\+06 pixels of the corner"),
        ({"boxes": np.full((2, 4), -3e9, np.float32)}, r"boxes must lie within 1e\+06 pixels of the corner"),
        ({"scores": np.array([0.5, np.nan], np.float32)}, "boxes and scores must be finite numbers"),
        ({"scores": np.array([0.5, 1.5], np.float32)}, r"scores must lie in 0..1, not 0.5..1.5"),
        ({"scores": np.array([-0.5, 0.5], np.float32)}, r"scores must lie in 0..1, not -0.5..0.5"),
        ({"labels": np.array([0, 4], np.int32)}, "labels must be below 4, the number of class names"),
        ({"labels": np.array([-1, 0], np.int32)}, "labels must be below 4, the number of class names"),
        ({"names": ("person",)}, "labels must be below 1, the number of class names"),
    ],
)
def test_detections_that_do_not_fit_together_are_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        dataclasses.replace(detections(), **change)


def test_counts_balance() -> None:
    assert Counts(read=10, skipped=7, dropped=1, admitted=2).admitted == 2
    with pytest.raises(ValueError, match=r"read=10, skipped=7, dropped=1, admitted=1.* does not balance"):
        Counts(read=10, skipped=7, dropped=1, admitted=1)


@pytest.mark.parametrize("counts", [(-1, -1, 0, 0), (0, -1, 0, 1), (MAX_COUNT, MAX_COUNT, 0, 0)])
def test_counts_are_numbers_of_frames(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"counts lie in 0 to 2\^53"):
        Counts(*counts)


BALANCED = Tally(
    read=20, skipped=8, dropped=2, admitted=10, easy=3, cloud=2, expired=1, failed=1, interrupted=1, pending=2
)


def test_a_tally_balances() -> None:
    assert Tally().balanced
    assert BALANCED.balanced


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Tally)])
def test_a_tally_with_any_count_off_by_one_does_not_balance(field: str) -> None:
    for step in (-1, 1):
        assert not dataclasses.replace(BALANCED, **{field: getattr(BALANCED, field) + step}).balanced


def test_a_tally_with_more_ends_than_frames_does_not_balance() -> None:
    assert not Tally(read=1, admitted=1, easy=2, pending=-1).balanced
