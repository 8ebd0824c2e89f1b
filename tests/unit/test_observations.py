"""What is kept of the messages that pass a stage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.app.observations import Durations, Observations
from pipeline.messages import AnswerStatus, Example, Inferred, SourceStatus, Tick, Undeliverable
from pipeline.model import Detections, Ending
from tests.examples import (
    BUILDERS,
    cloud_answer,
    detected,
    hard_example,
    reader_progress,
    result,
    state,
    uplink_progress,
    verdict,
    worker_state,
)


def counts(durations: Durations) -> list[int]:
    return [count for _, count in durations.buckets()]


class TestDurations:
    def test_a_bucket_has_all_up_to_its_bound_and_the_bound_too(self) -> None:
        durations = Durations((0.1, 1.0))
        for duration_ms in (50, 100, 100.5, 1000, 5000):
            durations.add(duration_ms)
        assert durations.buckets() == [("0.1", 2), ("1.0", 4), ("+Inf", 5)]
        assert durations.sum_s == pytest.approx(6.2505)

    def test_together_they_have_what_each_has(self) -> None:
        one, two = Durations((0.1, 1.0)), Durations((0.1, 1.0))
        one.add(50)
        two.add(50)
        two.add(500)
        both = one + two
        assert both.buckets() == [("0.1", 2), ("1.0", 3), ("+Inf", 3)]
        assert both.sum_s == pytest.approx(0.6)
        assert counts(one) == [1, 1, 1]


class TestObservations:
    def test_of_each_stream_the_newest_counts(self) -> None:
        seen = Observations()
        newer = replace(state(), upload_bytes=50_000)
        retrying = reader_progress(status=SourceStatus.RETRYING)
        for message in (state(), state("yard"), newer, reader_progress(), retrying, uplink_progress("yard")):
            seen.sent(message)
        assert seen.states == {"gate": newer, "yard": state("yard")}
        assert seen.readers == {"gate": retrying}
        assert seen.uplinks == {"yard": uplink_progress("yard")}

    def test_a_frame_is_looked_at_once_before_the_miner_or_after_it(self) -> None:
        seen = Observations()
        looked = detected()
        seen.sent(looked)
        seen.sent(Example(looked, verdict(), {"detect": 20.0}))
        assert counts(seen.inferences["detector"])[-1] == 1
        unseen = replace(looked, steps_ms={}, model="")
        seen.sent(unseen)
        seen.sent(Example(unseen, verdict(), {"mine": 0.2}))
        assert counts(seen.inferences["detector"])[-1] == 1
        seen.sent(Example(unseen, verdict(hard=False), {"mine": 0.2, "detect": 20.0}))
        assert counts(seen.inferences["detector"])[-1] == 2

    def test_what_is_only_taken_here_is_another_stage_s_to_tell(self) -> None:
        seen = Observations()
        for build in BUILDERS.values():
            seen.took(build())
        assert vars(seen) == vars(Observations())

    def test_a_workers_answers_are_counted_by_their_status(self) -> None:
        seen = Observations()
        for status in (AnswerStatus.BUSY, AnswerStatus.ANSWERED, AnswerStatus.BUSY, AnswerStatus.ERROR):
            seen.sent(cloud_answer(status=status))
        seen.sent(worker_state())
        assert seen.answers == {"busy": 2, "answered": 1, "error": 1}
        assert seen.worker == worker_state()

    def test_latencies_are_those_of_answers(self) -> None:
        seen = Observations()
        seen.sent(result())
        seen.sent(result(revision=2, ending=Ending.CLOUD))
        seen.sent(result(revision=2, ending=Ending.EXPIRED))
        seen.sent(result(stream="yard", ending=Ending.EASY))
        assert {key: counts(found)[-1] for key, found in seen.latencies.items()} == {
            ("gate", "edge"): 1,
            ("gate", "cloud"): 1,
            ("yard", "edge"): 1,
        }
        assert seen.latencies["gate", "edge"].sum_s == pytest.approx(0.045125)

    def test_what_an_uplink_says_again_of_an_earlier_one_is_no_new_answer(self) -> None:
        seen = Observations()
        seen.sent(replace(uplink_progress(), recovered=(result().id.seq,)))
        seen.sent(result())
        seen.sent(result(revision=2, ending=Ending.CLOUD))
        assert {key: counts(found)[-1] for key, found in seen.latencies.items()} == {("gate", "cloud"): 1}

    def test_inferences_of_both_models(self) -> None:
        seen = Observations()
        seen.sent(detected())
        seen.took(Inferred(hard_example(), Detections.empty(), "", {"cloud_detect": 80.0}))
        seen.took(Inferred(hard_example(), None, "the picture is damaged", {}))
        assert {name: found.sum_s for name, found in seen.inferences.items()} == {"detector": 0.02025, "cloud": 0.08}
        assert seen.failed_inferences == 1

    def test_what_could_not_be_sent_is_counted(self) -> None:
        seen = Observations()
        seen.took(Undeliverable(result(), "it is too large"))
        seen.took(Tick(0.0))
        assert seen.undeliverable == 1
