"""Every message has one way to go, and each process subscribes to what it needs and no more."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, get_args

import pytest

from broker.packet import matches
from pipeline.messages import CloudAnswer, HardExample, StageState, WireMessage, WorkerState
from pipeline.routes import ROUTES, filters, stream_of, topic_of
from pipeline.stage import StageName
from pipeline.topics import Kind
from tests.examples import BUILDERS, SERVICE, STREAM, WORKER, stage_state, worker_state

EDGE = frozenset(StageName) - {StageName.CLOUD}


def subscribed(*stages: StageName, streams: tuple[str, ...] = ("gate",), worker: str = "") -> set[str]:
    """The filters of a process, seen to have none twice, and none that takes in what another does."""
    wanted = filters("helmet", frozenset(stages), streams, worker)
    assert len(set(wanted)) == len(wanted)
    for one in wanted:
        assert [other for other in wanted if matches(other, one)] == [one]
    return set(wanted)


def test_every_message_that_travels_has_a_route_and_a_builder() -> None:
    travels = set(get_args(WireMessage))
    assert set(ROUTES) == travels
    assert set(BUILDERS) == travels


@pytest.mark.parametrize("kind", ROUTES, ids=lambda kind: kind.__name__)
def test_every_message_belongs_to_its_stream_and_topic(kind: type[Any]) -> None:
    message = BUILDERS[kind]()
    topic = topic_of(SERVICE, message)
    assert topic.kind is ROUTES[kind].kind
    assert topic.stream == stream_of(message) == ("" if topic.kind in {Kind.WORKERS, Kind.STAGES} else STREAM)


def test_what_names_a_worker_or_process_has_it_in_its_topic() -> None:
    assert str(topic_of("helmet", BUILDERS[HardExample]())) == f"tandem/helmet/gate/hard/{WORKER}"
    assert str(topic_of("helmet", worker_state("w"))) == "tandem/helmet/workers/w"
    assert str(topic_of("helmet", stage_state("edge-1"))) == "tandem/helmet/stages/edge-1"


def test_only_these_messages_share_a_topic() -> None:
    by_kind: dict[Kind, set[str]] = defaultdict(set)
    for kind, route in ROUTES.items():
        by_kind[route.kind].add(kind.__name__)
    shared = {kind: names for kind, names in by_kind.items() if len(names) > 1}
    assert shared == {
        Kind.STORED: {"Stored", "NotStored"},
        Kind.PROGRESS: {"ReaderProgress", "UplinkProgress", "MinerProgress"},
    }
    assert set(by_kind) == set(Kind)


def test_every_message_flows_one_way() -> None:
    for kind, route in ROUTES.items():
        assert not set(route.senders) & set(route.takers), kind


def test_only_state_is_retained_and_only_what_nobody_sends_again_is_kept() -> None:
    assert {kind.__name__ for kind, route in ROUTES.items() if route.retain} == {"State", "WorkerState", "StageState"}
    assert {kind.__name__ for kind, route in ROUTES.items() if route.keep} == {
        "Result",
        "ReaderProgress",
        "UplinkProgress",
    }


def test_only_what_people_read_is_public() -> None:
    public = {str(route.kind) for route in ROUTES.values() if route.public}
    assert public == {"results", "stored", "state", "workers", "stages"}


WHO_IS_THERE = {"tandem/helmet/workers/+", "tandem/helmet/stages/+"}


def test_the_edge_group_hears_of_workers_only() -> None:
    assert subscribed(*EDGE) == WHO_IS_THERE | {"tandem/helmet/gate/results/cloud"}


def test_the_edge_group_of_two_streams_subscribes_for_each() -> None:
    assert subscribed(*EDGE, streams=("gate", "yard")) == WHO_IS_THERE | {
        "tandem/helmet/gate/results/cloud",
        "tandem/helmet/yard/results/cloud",
    }


def test_a_worker_takes_its_own_frames_from_every_stream() -> None:
    assert subscribed(StageName.CLOUD, streams=(), worker="w") == {"tandem/helmet/+/hard/w"}


@pytest.mark.parametrize(
    ("stage", "wanted"),
    [
        (StageName.READER, {"gate/stored", "gate/resume"}),
        (StageName.DETECTOR, {"gate/frames"}),
        (StageName.MINER, {"gate/detected", "gate/recalled"}),
        (StageName.UPLINK, {"gate/examples", "gate/results/cloud", "gate/stored", "workers/+", "stages/+"}),
        (StageName.CLOUD, {"+/hard/w"}),
        (StageName.SINK, {"gate/store", "gate/progress"}),
    ],
)
def test_a_stage_alone_subscribes_to_what_it_takes(stage: StageName, wanted: set[str]) -> None:
    assert subscribed(stage, worker="w") == {f"tandem/helmet/{topic}" for topic in wanted}


def test_a_stage_whose_senders_are_only_partly_here_still_subscribes() -> None:
    assert "tandem/helmet/gate/store" in subscribed(StageName.UPLINK, StageName.SINK)
    assert "tandem/helmet/gate/progress" in subscribed(StageName.READER, StageName.SINK)


def test_all_stages_in_one_process_still_meet_foreign_workers_and_uplinks() -> None:
    assert subscribed(*StageName, worker="w") == WHO_IS_THERE | {
        "tandem/helmet/+/hard/w",
        "tandem/helmet/gate/results/cloud",
    }
    foreign = {kind for kind, route in ROUTES.items() if route.foreign}
    assert foreign == {HardExample, CloudAnswer, WorkerState, StageState}


def test_each_message_reaches_every_taker_however_the_stages_are_spread() -> None:
    for kind, route in ROUTES.items():
        topic = str(topic_of("helmet", BUILDERS[kind]()))
        for taker in route.takers:
            wanted = filters("helmet", frozenset({taker}), (STREAM,), WORKER)
            assert sum(matches(name, topic) for name in wanted) == 1, (kind, taker)
