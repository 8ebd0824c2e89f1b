"""Whose turn it is in a drill, who has moved a frame, and what counts as a difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from broker.memory import MemoryBroker
from pipeline import wire
from pipeline.app.drill import EXPIRES_S, TRIES, apart
from pipeline.app.drill_compare import differences
from pipeline.app.drill_moves import Moves
from pipeline.app.drill_turns import Turns, Victim, seconds_of, victims_of
from pipeline.app.places import Places
from pipeline.config import validated
from pipeline.errors import ConfigError
from pipeline.link import ContentType, LinkEvents, Packet
from pipeline.messages import AnswerStatus, Result, StageState, WireMessage
from pipeline.model import Counts, Ending
from stages.ledger import SqliteLedger
from stages.outputs import OutputFolders
from stages.sink_stores import Written
from tests.examples import cloud_answer, result, stage_state, stored

ALL = (Victim.BROKER, Victim.WORKER, Victim.EDGE)


class TestTurns:
    def turns(self, *kinds: Victim, workers: Sequence[str] = ("worker-1",)) -> Turns:
        processes = {Victim.BROKER: ("broker",), Victim.WORKER: workers, Victim.EDGE: ("edge",)}
        return Turns(kinds or ALL, processes, 2.0, 100.0)

    def test_one_falls_at_a_time_in_turn(self) -> None:
        turns = self.turns()
        fallen = [turns.due(100.0 + 0.5 * i, lambda _: True) for i in range(20)]
        assert [name for name in fallen if name] == ["broker", "worker-1", "edge", "broker"]
        assert [i for i, name in enumerate(fallen) if name] == [4, 8, 12, 16]
        assert turns.kills == {Victim.BROKER: 2, Victim.WORKER: 1, Victim.EDGE: 1}

    def test_nobody_falls_before_it_has_moved_a_frame_and_the_others_wait(self) -> None:
        turns = self.turns(Victim.EDGE, Victim.BROKER)
        assert turns.due(110.0, lambda name: name == "broker") is None
        assert turns.due(111.0, lambda _: True) == "edge"
        assert turns.due(112.9, lambda _: True) is None
        assert turns.due(113.0, lambda _: True) == "broker"

    def test_of_several_workers_the_one_that_fell_longest_ago_comes_first(self) -> None:
        turns = self.turns(Victim.WORKER, workers=("worker-1", "worker-2", "worker-3"))
        assert turns.due(102.0, lambda _: True) == "worker-1"
        assert turns.due(104.0, lambda name: name != "worker-2") == "worker-3"
        assert turns.due(106.0, lambda _: True) == "worker-2"
        assert turns.due(108.0, lambda _: True) == "worker-1"

    def test_who_never_fell_is_counted_as_never(self) -> None:
        assert self.turns().kills == {Victim.BROKER: 0, Victim.WORKER: 0, Victim.EDGE: 0}


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("2s", 2.0), ("2", 2.0), ("500ms", 0.5), ("1.5s", 1.5), (" 1m ", 60.0)]
    )
    def test_times(self, text: str, seconds: float) -> None:
        assert seconds_of(text) == seconds

    @pytest.mark.parametrize("text", ["", "0s", "-1s", "soon", "2 h", "1e9s", "nan"])
    def test_what_is_no_time(self, text: str) -> None:
        with pytest.raises(ConfigError, match="--every"):
            seconds_of(text)

    def test_victims_in_the_order_they_are_named(self) -> None:
        assert victims_of("edge, broker") == (Victim.EDGE, Victim.BROKER)

    @pytest.mark.parametrize("text", ["", ",", "edge,edge", "broker,cloud"])
    def test_what_names_no_victims(self, text: str) -> None:
        with pytest.raises(ConfigError, match="--kill"):
            victims_of(text)


def test_each_run_has_folders_of_its_own_and_no_kill_makes_a_frame_expire_or_poison() -> None:
    config = validated({"sink": {"out": "d", "all_examples": "s/all", "keep": "1 GiB"}, "reader": {"pace": "real"}})
    for name, pace in (("undisturbed", "max"), ("drilled", "real")):
        each = validated(apart(config, name).model_dump())
        assert each.sink.out == Path("d") / name
        assert (each.sink.all_examples, each.sink.keep, each.sink.compare) == (None, None, False)
        assert (each.outbox.expires, each.outbox.tries) == (EXPIRES_S, TRIES)
        assert each.reader.pace == pace


class TestMoves:
    @pytest.fixture
    def broker(self) -> Iterator[MemoryBroker]:
        with MemoryBroker() as broker:
            yield broker

    @pytest.fixture
    def moves(self, broker: MemoryBroker) -> Iterator[Moves]:
        starts = count(1)
        moves = Moves("helmet", broker.link("drill"), lambda: f"broker-{next(starts)}")
        yield moves
        moves.close()

    def say(self, broker: MemoryBroker, *messages: WireMessage) -> None:
        link = broker.link("somebody")
        link.start([], LinkEvents(lambda *_: None, lambda: None, lambda _: None))
        broker.settle()
        for message in messages:
            link.publish(wire.encode("helmet", message, 0.0))
        broker.settle()

    def test_nobody_has_moved_by_being_there(self, broker: MemoryBroker, moves: Moves) -> None:
        self.say(broker, edge("e1"))
        assert not moves.has_moved("e1")
        assert not moves.has_moved("broker-1")

    def test_an_answer_moves_its_worker_and_the_broker(self, broker: MemoryBroker, moves: Moves) -> None:
        self.say(broker, replace(cloud_answer(), incarnation="w1"))
        assert moves.has_moved("w1")
        assert moves.has_moved("broker-1")
        assert not moves.has_moved("w2")

    def test_a_busy_worker_has_moved_nothing(self, broker: MemoryBroker, moves: Moves) -> None:
        self.say(broker, cloud_answer(status=AnswerStatus.BUSY))
        assert not moves.has_moved("w1")

    def test_a_broker_that_is_back_has_moved_nothing_yet(self, broker: MemoryBroker, moves: Moves) -> None:
        self.say(broker, stored())
        broker.restart()
        broker.settle()
        assert moves.has_moved("broker-1")
        assert not moves.has_moved("broker-2")
        self.say(broker, stored())
        assert moves.has_moved("broker-2")

    def test_what_is_stored_moves_the_edge_that_is_there_now(self, broker: MemoryBroker, moves: Moves) -> None:
        self.say(broker, edge("e1"), replace(edge("e1"), online=False), stored())
        assert not moves.has_moved("e1")
        worker = replace(stage_state("worker-1"), incarnation="w1", stages=("cloud",))
        self.say(broker, edge("e1"), edge("e2"), worker, stored())
        assert moves.has_moved("e2")
        assert not moves.has_moved("e1")
        assert not moves.has_moved("w1")

    def test_a_message_that_is_none_moves_nobody_and_ends_nothing(self, broker: MemoryBroker, moves: Moves) -> None:
        link = broker.link("noise")
        link.start([], LinkEvents(lambda *_: None, lambda: None, lambda _: None))
        broker.settle()
        link.publish(Packet("tandem/helmet/gate/stored", b"{", ContentType.JSON))
        broker.settle()
        assert not moves.has_moved("broker-1")
        self.say(broker, stored())
        assert moves.has_moved("broker-1")


class TestDifferences:
    """Of two runs of two frames."""

    def run(self, folder: Path, *results: Result, pictures: dict[str, bytes] | None = None) -> Places:
        places = Places({"gate": OutputFolders.under(folder)}, folder, "gate")
        ledger = SqliteLedger(places.ledger, "a test")
        for ordinal, each in enumerate(results, 1):
            ledger.add(each, Counts(each.id.seq, each.id.seq - ordinal, 0, ordinal), Written(("all",)))
        ledger.commit()
        ledger.close()
        for name, content in (pictures or {"all/1.jpeg": b"one", "all/2.jpeg": b"two"}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return places

    @pytest.fixture
    def undisturbed(self, tmp_path: Path) -> Places:
        return self.run(tmp_path / "undisturbed", easy(1), easy(2))

    def test_times_and_names_may_differ(self, undisturbed: Places, tmp_path: Path) -> None:
        other = replace(easy(1), captured_ns=7, latency_ms=9.9, steps_ms={"read": 1.0}, upload_bytes=3)
        assert list(differences(undisturbed, self.run(tmp_path / "drilled", other, easy(2)))) == []

    def test_another_verdict_is_named(self, undisturbed: Places, tmp_path: Path) -> None:
        other = replace(easy(2), reason="so")
        (found,) = differences(undisturbed, self.run(tmp_path / "drilled", easy(1), other))
        assert found == "ledger frames gate/2: reason is '' undisturbed, 'so' drilled"

    def test_a_frame_that_is_missing_is_named(self, undisturbed: Places, tmp_path: Path) -> None:
        found = list(differences(undisturbed, self.run(tmp_path / "drilled", easy(1))))
        assert "ledger frames gate/2: only in the undisturbed run" in found
        assert "ledger streams gate: admitted is 2 undisturbed, 1 drilled" in found

    def test_a_frame_that_waits_does_not_balance(self, undisturbed: Places, tmp_path: Path) -> None:
        waits = replace(easy(2), ending=None, verdict=replace(easy(2).verdict, hard=True))
        found = list(differences(undisturbed, self.run(tmp_path / "drilled", easy(1), waits)))
        assert any(line.startswith("ledger gate: the drilled run does not balance") for line in found)

    @pytest.mark.parametrize(
        ("pictures", "said"),
        [
            ({"all/1.jpeg": b"one", "all/2.jpeg": b"tvo"}, "gate all/2.jpeg: other bytes"),
            ({"all/1.jpeg": b"one"}, "gate all/2.jpeg: only in the undisturbed run"),
            (
                {"all/1.jpeg": b"one", "all/2.jpeg": b"two", "hard_edge/.2.jpeg.part": b"t"},
                "gate hard_edge/.2.jpeg.part: only in the drilled run",
            ),
        ],
    )
    def test_pictures(self, undisturbed: Places, tmp_path: Path, pictures: dict[str, bytes], said: str) -> None:
        drilled = self.run(tmp_path / "drilled", easy(1), easy(2), pictures=pictures)
        assert list(differences(undisturbed, drilled)) == [said]


def easy(seq: int) -> Result:
    """A frame that the edge alone has answered."""
    return result(seq, ending=Ending.EASY)


def edge(incarnation: str) -> StageState:
    """An edge group."""
    return replace(stage_state("edge"), incarnation=incarnation)
