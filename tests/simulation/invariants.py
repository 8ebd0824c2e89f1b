"""What must hold at every moment of a simulated run, and at its end."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

from pipeline.messages import Message, Result, Store
from pipeline.model import Counts, Ending, FrameId
from pipeline.stage import StageName
from stages.cloud import ANSWERS_KEPT, Cloud
from stages.ledger import SqliteLedger
from stages.ledger_rows import INTERRUPTED
from stages.reader import Reader
from stages.sink import COMMIT_AT, Sink
from stages.uplink import ENDED_KEPT, Uplink
from stages.workers import GONE_KEPT, SILENCE_S
from tests.simulation.doubles import MemoryLedger
from tests.simulation.faults import STREAM, WORKER, Fault
from tests.simulation.process import PAUSE_S, Process
from tests.simulation.world import World


def bounded(process: Process) -> None:
    """Every stage of a process holds no more than its windows allow."""
    schedule = process.world.schedule
    for stage in process.stages.values():
        match stage:
            case Reader():
                _at_most(schedule.window, len(stage._unconfirmed), "frames that are not stored")
                assert not stage._source.live or not len(stage._backlog), "a camera waits for the cloud"
                _at_most(schedule.backlog, len(stage._backlog), "frames that are not final")
            case Uplink() if process.alive:
                _uplink_bounded(stage, process.world)
                _all_offered_or_queued(stage, process.world)
                process.met.check(stage._workers, process.world.now())
            case Cloud():
                _at_most(max(schedule.slots, schedule.queue), len(stage._attempts), "frames of the worker")
                _at_most(ANSWERS_KEPT, len(stage._answers), "answers of the worker")
            case Sink():
                _at_most(COMMIT_AT, len(stage._uncommitted), "answers that wait for a commit")
                _at_most(2 * schedule.frames, len(stage._held), "revisions that wait for the disk")


def _uplink_bounded(uplink: Uplink, world: World) -> None:
    # The backlog is the reader's. One that was started anew begins with the frames that the uplink has already, and a
    # frame that was long on the network, whose time does not count as age, may be forgotten before it expires.
    most: float = math.inf if world.schedule.shape.live else world.schedule.backlog
    if world.schedule.shape.split:
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


def outbox_first(world: World, message: Message) -> None:
    """What is said of a hard frame is in the outbox, or the sink has it already."""
    result = message.result if isinstance(message, Store) else message
    if not isinstance(result, Result) or not result.verdict.sent or result.ending is Ending.FAILED:
        return
    kept, stored = world.outbox.kept(result.id), world.ledger.kept(result.id)
    if result.revision == 1:
        assert kept or stored, f"{result.id} was passed on, and is not in the outbox"
    else:
        decided = kept and kept.decided
        there = decided.ending is result.ending if decided else bool(stored and stored.final)
        assert there, f"{result.id} was said to have ended as {result.ending}, and the outbox does not know"


def nothing_lost(world: World) -> None:
    """Every frame has one end, was stored once a revision, and the public knows the same."""
    _ledger_balances(world)
    if world.schedule.shape.live:
        _no_shot_lost(world)
    else:
        _every_frame_stored(world)
    _written_once(world)
    _public_agrees(world)
    _nothing_left(world)
    for (worker, picture), often in world.inferred.items():
        assert often == 1, f"{worker} looked at picture {picture} {often} times"


def _ledger_balances(world: World) -> None:
    tally = world.ledger.tally(STREAM)
    assert tally.balanced, f"{tally} does not balance"
    assert tally.pending == 0, f"{tally} has frames without an end"
    sink = world.stage(StageName.SINK)
    assert isinstance(sink, Sink)
    told = bool(sink._states._views[STREAM].reader)  # a sink that was started again knows of no reader that has stopped
    assert world.states[-1].tally == tally or (world.schedule.shape.live and not told), (
        "the last state says something else than the ledger"
    )


def _every_frame_stored(world: World) -> None:
    """Of a file: each sampled frame, once."""
    ledger, schedule, tally = world.ledger, world.schedule, world.ledger.tally(STREAM)
    read = schedule.frames * schedule.every
    counts = Counts(tally.read, tally.skipped, tally.dropped, tally.admitted)
    assert counts == Counts(read, read - schedule.frames, 0, schedule.frames)
    assert tally.interrupted == 0, f"{tally}: no frame of a file is interrupted"
    if isinstance(ledger, MemoryLedger):
        sampled = [1 + schedule.every * i for i in range(schedule.frames)]
        results = ledger.results(STREAM)
        assert sorted(results) == sampled, "other frames are stored than were sampled"
        assert set(ledger.added.values()) == {1}, "a revision 1 was stored twice"
        assert set(ledger.ended.values()) <= {1}, "a revision 2 was stored twice"
        for seq, revisions in results.items():
            assert revisions[-1].final, f"frame {seq} has no end"
            _ended_rightly(world, revisions)


def _no_shot_lost(world: World) -> None:
    """Of a camera: each picture that was given to the last reader, and of those before it what was not in memory."""
    camera, tally = world.camera, world.ledger.tally(STREAM)
    reader_deaths = world.deaths["edge"] + world.deaths["reader"]
    uplink_deaths = world.deaths["edge"] + world.deaths["uplink"]
    rows = _rows(world)
    given = {shot.seq for shot in camera.shots.values()}
    assert given.issuperset(rows), f"frames {set(rows) - given} are stored, but were never read"
    assert all(ending for _, ending in rows.values()), "a frame has no end"
    if not reader_deaths:
        assert tally.dropped == camera.dropped, f"{tally}, but the camera has dropped {camera.dropped}"
        assert tally.admitted == len(camera.shots), f"{tally}, but {len(camera.shots)} pictures were read"
    elif tally.admitted > len(camera.shots):
        raise AssertionError(f"{tally}, but only {len(camera.shots)} pictures were read")
    interrupted = sum(ending == INTERRUPTED for _, ending in rows.values())
    assert not interrupted or (uplink_deaths and not world.schedule.durable), "a kept frame was interrupted"
    in_memory = tally.interrupted - interrupted
    most = reader_deaths * world.schedule.window
    assert 0 <= in_memory <= most, f"{in_memory} frames were lost in memory, which holds {most}"
    for number, shot in camera.shots.items():
        if shot.reader == camera.readers:
            frame = FrameId(STREAM, shot.seq)
            assert shot.seq in rows, f"{frame} was read by the last reader, and is not stored"
            stored = world.outputs.pictures.get(frame, number)
            # Between processes a frame of a reader that died may be under way still, with a number that is used again.
            assert world.schedule.shape.split or stored == number, (
                f"{frame} was stored with picture {stored}, but picture {number} was read as it"
            )


def _rows(world: World) -> dict[int, tuple[int, str]]:
    """The revision and ending of each frame in the ledger on disk."""
    assert isinstance(world.ledger, SqliteLedger)
    query = "SELECT seq, revision, ending FROM frames WHERE stream = ?"
    rows = world.ledger._rows._connection.execute(query, (STREAM,))
    return {seq: (revision, ending) for seq, revision, ending in rows}


def _written_once(world: World) -> None:
    died = world.deaths["edge"] + world.deaths["sink"] + world.deaths["uplink"]
    full = Fault.DISK_FULL in world.schedule.kinds
    for (frame, revision), writes in world.outputs.writes.items():
        assert len(writes) == 1 or died or full, f"revision {revision} of {frame} was written {len(writes)} times"


def _ended_rightly(world: World, revisions: tuple[Result, ...]) -> None:
    last = revisions[-1]
    bad = world.schedule.bad.get(last.id.seq)
    if not last.verdict.sent:
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
    stored = _endings(world)
    restarted = any(deaths for name, deaths in world.deaths.items() if not name.startswith(WORKER))
    assert {FrameId(STREAM, seq) for seq in stored} <= set(published), "the public has not heard of every frame"
    for frame, results in published.items():
        ending = stored.get(frame.seq)
        if ending in {None, INTERRUPTED}:
            assert world.schedule.shape.live, f"{frame} was published, and is not stored"
            continue
        highest = max(result.revision for result in results)
        last = [result for result in results if result.revision == highest]
        assert all(result.final for result in last), f"the highest revision of {frame} is not final"
        assert ending in {result.ending for result in last}, f"the public was told another end of {frame}"
        if not restarted and world.schedule.bad.get(frame.seq) is not Fault.TOO_LARGE:
            often = Counter(result.revision for result in results)
            assert set(often.values()) == {1}, f"of {frame} the public was told {dict(often)} times"


def _endings(world: World) -> dict[int, str | None]:
    if isinstance(world.ledger, MemoryLedger):
        return {seq: revisions[-1].ending for seq, revisions in world.ledger.results(STREAM).items()}
    return {seq: ending for seq, (_, ending) in _rows(world).items()}


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
