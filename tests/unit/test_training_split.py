"""A split gives whole stretches of time, the same in every run, and no neighbours to both parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stages.training_split import STRETCH_S, Moment, Split, split

SECONDS = st.floats(0, 1e5, allow_nan=False)
MOMENTS = st.lists(st.builds(Moment, st.sampled_from(["gate.mp4", "yard.mp4"]), SECONDS), min_size=1, max_size=60)


def a_second(count: int, source: str = "gate.mp4") -> list[Moment]:
    return [Moment(source, float(at_s)) for at_s in range(count)]


@given(MOMENTS, st.floats(0.05, 0.9), st.floats(0.5, 600))
def test_no_frame_that_teaches_is_near_to_one_that_validates(
    moments: list[Moment], share: float, stretch_s: float
) -> None:
    found = split(moments, share, stretch_s)
    teach = [moment for moment, part in zip(moments, found, strict=True) if part is Split.TRAIN]
    validate = [moment for moment, part in zip(moments, found, strict=True) if part is Split.VAL]
    assert validate
    for moment in teach:
        for other in validate:
            assert moment.source != other.source or abs(moment.at_s - other.at_s) >= 0.05 * stretch_s


@given(MOMENTS, st.randoms(use_true_random=False))
def test_the_order_of_frames_changes_nothing(moments: list[Moment], draw: object) -> None:
    shuffled = moments.copy()
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    found = dict(zip(moments, split(moments, 0.2), strict=True))
    assert dict(zip(shuffled, split(shuffled, 0.2), strict=True)) == found


def test_the_share_is_that_of_the_time() -> None:
    found = split(a_second(6000), 0.2)
    assert found.count(Split.VAL) == 1200
    assert found.count(None) < 0.06 * 6000
    stretches = {at_s // int(STRETCH_S): part for at_s, part in enumerate(found) if part is Split.VAL}
    assert len(stretches) == 20
    assert all(found[60 * number : 60 * number + 60] == [Split.VAL] * 60 for number in stretches)


def test_a_stream_that_goes_on_keeps_its_split() -> None:
    short, long = split(a_second(1800), 0.25, 60), split(a_second(3600), 0.25, 60)
    assert [part is Split.VAL for part in long[:1800]] == [part is Split.VAL for part in short]


def test_two_sources_begin_at_different_stretches() -> None:
    starts = {split(a_second(600, f"{number}.mp4"), 0.2, 60).index(Split.VAL) // 60 for number in range(20)}
    assert len(starts) > 1


def test_a_short_clip_has_both_parts() -> None:
    found = split([Moment("clip.mp4", number / 25) for number in range(50)], 0.2)
    assert 5 <= found.count(Split.VAL) <= 15
    assert found.count(Split.TRAIN) >= 30


def test_bursts_of_a_long_clip_are_not_split_up() -> None:
    bursts = [Moment("clip.mp4", start_s + number * 0.4) for start_s in (10.0, 30.0) for number in range(10)]
    found = split(bursts, 0.2, spans_s={"clip.mp4": 100.0})
    assert [set(found[:10]), set(found[10:])] in ([{Split.VAL}, {Split.TRAIN}], [{Split.TRAIN}, {Split.VAL}])


def test_frames_of_one_moment_stay_together() -> None:
    assert split([Moment("photo.jpg", 1.0)] * 3, 0.2) == [Split.VAL] * 3


def test_two_stretches_give_one_to_each_part() -> None:
    for source in map(str, range(30)):
        assert set(split([Moment(source, 10), Moment(source, 100)], 0.9, 60)) == set(Split)


def test_without_a_share_all_frames_teach() -> None:
    assert split(a_second(200), 0.0) == [Split.TRAIN] * 200
