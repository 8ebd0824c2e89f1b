"""What must hold at every moment of a simulated run, and at its end."""

from __future__ import annotations

from collections import Counter, defaultdict

from pipeline.messages import Result
from pipeline.model import Counts, Ending, FrameId
from pipeline.stage import StageName
from stages.cloud import ANSWERS_KEPT, Cloud
from stages.reader import Reader
from stages.sink import COMMIT_AT, Sink
from stages.uplink import ENDED_KEPT, Uplink
from stages.workers import GONE_KEPT, SILENCE_S
from tests.simulation.doubles import MemoryLedger
from tests.simulation.faults import Fault
from tests.simulation.world import PAUSE_S, STREAM, Process, World, counts_of


def bounded(process: Process) -> None:
    """Every stage of a process holds no more than its windows allow."""
    schedule = process.world.schedule
    for stage in process.stages.values():
        match stage:
            case Reader():
                _at_most(schedule.window, len(stage._unconfirmed), "frames that are not stored")
                _at_most(schedule.backlog, len(stage._backlog), "frames that are not final")
            case Uplink() if process.alive:
                _uplink_bounded(stage, process.world)
                _all_offered_or_queued(stage, process.world)
            case Cloud():
                _at_most(max(schedule.slots, schedule.queue), len(stage._attempts), "frames of the worker")
                _at_most(ANSWERS_KEPT, len(stage._answers), "answers of the worker")
            case Sink():
                _at_most(COMMIT_AT, len(stage._uncommitted), "answers that wait for a commit")
                _at_most(2 * schedule.frames, len(stage._held), "revisions that wait for the disk")


def _uplink_bounded(uplink: Uplink, world: World) -> None:
    # The backlog is the reader's. One that was started anew begins with the frames that the uplink has already, and a
    # frame that was long on the network, whose time does not count as age, may be forgotten before it expires.
    most = world.schedule.backlog
    if world.schedule.split:
        most *= 2 + world.deaths["reader"]
    _at_most(ENDED_KEPT, len(uplink._ended), "ended frames of the uplink")
    _at_most(2 * len(uplink._held) + 100, len(uplink._timers), "timers of the uplink")
    _at_most(GONE_KEPT, len(uplink._workers._gone), "workers that are gone")
    waiting = [held.waiting for held in uplink._held.values()]
    undecided = [w for w in waiting if w.decided is None]
    _at_most(most, len(undecided), "hard frames of the uplink")
    there = sum(w.size_bytes for w in undecided)
    counted = uplink._undecided.size_bytes
    assert counted == there, f"the uplink counts {counted} bytes, but holds {there}"
    _at_most(world.schedule.budget_bytes, counted, "bytes of the outbox")
    kept = {entry.id: entry for entry in world.outbox.entries()} | uplink._group.changes
    assert {frame for frame, entry in kept.items() if entry} == set(uplink._held), "the outbox has other frames"


def _all_offered_or_queued(uplink: Uplink, world: World) -> None:
    offered = uplink._workers.offered
    for held in uplink._held.values():
        if held.waiting.decided is None:
            assert held.queued != (held.id in offered), f"{held.id} is neither queued nor offered, or both"
    for worker in uplink._workers._alive.values():
        silent_s = world.now() - worker.seen_s
        assert silent_s < SILENCE_S + 2 * PAUSE_S, f"{worker.state.worker} is silent for {silent_s:.1f} s, and not gone"


def _at_most(most: float, there: float, what: str) -> None:
    assert there <= most, f"there are {there} {what}, but {most} is the most"


def nothing_lost(world: World) -> None:
    """Every frame has one end, was stored once a revision, and the public knows the same."""
    _ledger_balances(world)
    _stored_once(world)
    _public_agrees(world)
    _nothing_left(world)
    for (worker, frame), often in world.inferred.items():
        assert often == 1, f"{worker} looked at {frame} {often} times"


def _ledger_balances(world: World) -> None:
    tally = world.ledger.tally(STREAM)
    assert tally.balanced, f"{tally} does not balance"
    assert tally.pending == 0, f"{tally} has frames without an end"
    assert tally.interrupted == 0, f"{tally}: no frame of a file is interrupted"
    assert Counts(tally.read, tally.skipped, tally.dropped, tally.admitted) == counts_of(world.schedule)
    assert world.states[-1].tally == tally, "the last state says something else than the ledger"


def _stored_once(world: World) -> None:
    ledger = world.ledger
    if isinstance(ledger, MemoryLedger):
        schedule = world.schedule
        sampled = [1 + schedule.every * i for i in range(schedule.frames)]
        results = ledger.results(STREAM)
        assert sorted(results) == sampled, "other frames are stored than were sampled"
        assert set(ledger.added.values()) == {1}, "a revision 1 was stored twice"
        assert set(ledger.ended.values()) <= {1}, "a revision 2 was stored twice"
        for seq, revisions in results.items():
            assert revisions[-1].final, f"frame {seq} has no end"
            _ended_rightly(world, revisions)
    for (frame, revision), writes in world.outputs.writes.items():
        again = len(writes) - 1
        died = world.deaths["edge"] + world.deaths["sink"] + world.deaths["uplink"]
        full = Fault.DISK_FULL in world.schedule.kinds
        assert not again or died or full, f"revision {revision} of {frame} was written {len(writes)} times"


def _ended_rightly(world: World, revisions: tuple[Result, ...]) -> None:
    last = revisions[-1]
    bad = world.schedule.bad.get(last.id.seq)
    if not last.verdict.hard:
        assert len(revisions) == 1
    elif bad is Fault.DAMAGED or bad is Fault.TOO_LARGE:
        assert last.ending is not Ending.CLOUD, f"{last.id} is {bad}, but {last.ending}"
    if last.ending in {Ending.EXPIRED, Ending.FAILED}:
        assert last.reason, f"nobody knows why {last.id} ended as {last.ending}"
    if last.ending is Ending.CLOUD:
        assert last.source == "cloud"
        assert last.worker is not None
        assert last.worker.startswith("worker")
        assert last.upload_bytes > 0


def _public_agrees(world: World) -> None:
    published: defaultdict[FrameId, list[Result]] = defaultdict(list)
    for result in world.published:
        published[result.id].append(result)
    assert len(published) == world.schedule.frames, "the public has not heard of every frame"
    restarted = any(deaths for name, deaths in world.deaths.items() if not name.startswith("worker"))
    stored = world.ledger.results(STREAM) if isinstance(world.ledger, MemoryLedger) else {}
    for frame, results in published.items():
        highest = max(result.revision for result in results)
        last = [result for result in results if result.revision == highest]
        assert all(result.final for result in last), f"the highest revision of {frame} is not final"
        if frame.seq in stored:
            ending = stored[frame.seq][-1].ending
            assert ending in {result.ending for result in last}, f"the public was told another end of {frame}"
        if not restarted and world.schedule.bad.get(frame.seq) is not Fault.TOO_LARGE:
            often = Counter(result.revision for result in results)
            assert set(often.values()) == {1}, f"of {frame} the public was told {dict(often)} times"


def _nothing_left(world: World) -> None:
    uplink = world.stage(StageName.UPLINK)
    assert isinstance(uplink, Uplink)
    assert not uplink._held, f"the uplink still holds {list(uplink._held)}"
    assert uplink._group.empty, "the uplink has not put everything on disk"
    assert not list(world.outbox.entries()), "the outbox is not empty"
    reader = world.stage(StageName.READER)
    assert isinstance(reader, Reader)
    assert not len(reader._unconfirmed), "the reader still waits for the sink"
    sink = world.stage(StageName.SINK)
    assert isinstance(sink, Sink)
    assert not sink._held
    assert not sink._uncommitted
