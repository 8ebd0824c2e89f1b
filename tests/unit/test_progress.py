"""How far a replay is, on a terminal of 80 columns and in a log."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from pipeline.app import progress as module
from pipeline.app.progress import FrameProgress
from pipeline.model import Tally
from tests.unit.test_census import STATE


def test_on_80_columns_each_stream_has_one_line() -> None:
    said = StringIO()
    console = Console(file=said, width=80, force_terminal=True)
    tally = Tally(read=1250, skipped=0, admitted=1250, easy=1047, cloud=200, pending=3)
    states = [replace(STATE, stream=stream, tally=tally) for stream in ("gate", "yard")]
    with FrameProgress(console, dict.fromkeys(("gate", "yard"), 2500)) as progress:
        progress.show(states)
    lines = [line for line in said.getvalue().splitlines() if "1047 easy, 200 by the cloud, 3 under way" in line]
    assert len(lines) >= len(states), "none is wrapped"


@pytest.mark.parametrize(("width", "bar"), [(200, 20), (80, 18), (60, 4)])
def test_the_bar_takes_what_is_left(width: int, bar: int) -> None:
    assert module._bar_width(width, {"gate": 100, "yard": 100}) == bar


def test_in_a_log_only_streams_that_moved_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_S", 0.0)
    said = StringIO()
    with FrameProgress(Console(file=said), {"gate": 5, "yard": None}, "pictures") as progress:
        for done in (1, 5, 5):
            progress.update("gate", done, "in the compare video")
        progress.update("yard", 1, "")
    assert said.getvalue().splitlines() == [
        "gate: 1/5 pictures, in the compare video",
        "gate: 5/5 pictures, in the compare video",
        "yard: 1/? pictures",
    ]
