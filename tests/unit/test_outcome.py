"""What people are told when the frames have ended, and that it costs little."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.app.outcome import make_compare_videos, say_what_became
from pipeline.app.places import Places
from pipeline.config import validated
from pipeline.model import Detections, Ending
from stages import ledger_report
from stages.ledger import SqliteLedger
from stages.sink_stores import Written
from tests import examples
from tests.unit.test_export import HARD, run


@pytest.fixture
def places(tmp_path: Path) -> Places:
    run(tmp_path, unanswered=(201, 203))
    return Places.of(validated({"streams": {"gate": {"source": "a.mp4"}}, "sink": {"out": tmp_path}}))


def test_corrected_frames_and_bad_ends_are_told_from_their_rows_alone(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(SqliteLedger(places.ledger, "a test")) as ledger:
        for seq in (201, 203):
            last = replace(examples.result(seq, revision=2, ending=Ending.EXPIRED), reason=f"{seq} was late")
            ledger.end(last, Written((), 0))
        ledger.commit()
    read: list[str] = []
    decode = ledger_report.decode_boxes

    def counted(text: str) -> Detections:
        read.append(text)
        return decode(text)

    monkeypatch.setattr(ledger_report, "decode_boxes", counted)
    said = StringIO()
    say_what_became(places, Console(file=said, width=200))
    lines = said.getvalue().splitlines()
    assert lines[0] == f"gate: the big model corrected {len(HARD)} frames, among them"
    assert lines[1].startswith("  frame 1: + helmet_off 0.90")
    assert lines[-2:] == ["gate: 2 frames expired", "  frame 201: 201 was late"]
    assert len(read) == 2 * len(HARD)


def test_a_compare_video_that_is_stopped_leaves_nothing(places: Places) -> None:
    console = Console(file=StringIO())
    asked = iter((False, False, True))
    with pytest.raises(KeyboardInterrupt):
        list(make_compare_videos(places, ["gate"], lambda: next(asked), console))
    assert not [path for path in places.state.iterdir() if "compare" in path.name]
    assert list(make_compare_videos(places, ["gate"], lambda: False, console)) == ["gate"]
    assert places.compare("gate").stat().st_size > 1000


def test_the_compare_video_tells_how_far_it_is(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.app.progress.LINE_S", 0.0)
    said = StringIO()
    list(make_compare_videos(places, ["gate"], lambda: False, Console(file=said, width=200)))
    assert said.getvalue().splitlines()[-1] == "gate: 13/13 frames, in the compare video"
