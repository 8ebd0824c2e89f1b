"""What a report says of a run's speed, and of what the cloud is worth."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.app.parts import no_audit
from pipeline.app.places import Places
from pipeline.app.report import Report, Run, _gain_lines
from pipeline.config import validated
from pipeline.gain import Found
from stages.gain import gain_of
from tests.unit.test_export import run


@pytest.mark.parametrize(
    ("span_s", "admitted", "says"),
    [
        (5.5, 11, "speed     2.0 frames/s"),
        (2.0, 3, "speed     1.5 frames/s, of the 3 frames that were left to read"),
        (10.0, 22, "speed     2.2 frames/s, of the 22 frames of that run, other streams' too"),
        (0.0, 0, "speed     -, since no frame was left to read"),
    ],
)
def test_the_speed_is_that_of_this_run(tmp_path: Path, span_s: float, admitted: int, says: str) -> None:
    run(tmp_path)
    places = Places.of(validated({"streams": {"gate": {"source": "a.mp4"}}, "sink": {"out": tmp_path}}))
    said = StringIO()
    Report.read(places, Run(span_s, admitted, {}, {}, {}), {}).show(Console(file=said, width=200))
    assert says in said.getvalue().splitlines()


@pytest.mark.parametrize("audited", [0, 1, 19])
def test_of_a_few_audited_frames_no_share_is_told_but_how_to_get_more(audited: int) -> None:
    (line,) = _gain_lines("gate", gain_of(Found(21, 21, 20, 21), Found(104, audited, 0, 0)), "")
    assert line == (
        f"gain      gate: too early to tell: the cloud has seen {audited} of 104 easy frames (audited), and 20 are "
        "needed; run for longer, or raise audit.share"
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"miner": {"name": "EdgeOnly"}}, "nobody can tell: EdgeOnly sends nothing to the cloud, not even an audit"),
        ({"audit": {"share": 0}}, "nobody can tell: the cloud sees no easy frame, since audit.share is 0"),
    ],
)
def test_without_an_audit_nobody_is_told_to_run_for_longer(settings: dict[str, Any], says: str) -> None:
    gain = gain_of(Found(), Found(34, 0, 0, 0))
    assert list(_gain_lines("gate", gain, no_audit(validated(settings)))) == [f"gain      gate: {says}"]


def test_where_no_frame_is_easy_the_hard_ones_tell() -> None:
    why = no_audit(validated({"miner": {"name": "CloudOnly"}}))
    (line,) = _gain_lines("gate", gain_of(Found(34, 0, 0, 0), Found()), why)
    assert line.endswith("too early to tell: the cloud has answered none of the 34 hard frames, and no frame is easy")
    (line,) = _gain_lines("gate", gain_of(Found(34, 34, 3, 5), Found()), why)
    assert "the edge misses something in 9%" in line


@pytest.mark.parametrize("easy", [Found(104, 20, 0, 2), Found(8, 8, 0, 1), Found()])
def test_of_enough_audited_frames_or_all_the_shares_are_told(easy: Found) -> None:
    (line,) = _gain_lines("gate", gain_of(Found(21, 21, 20, 21), easy), "")
    assert "of the frames; the cloud would correct" in line
    assert ", and the miner sends it" in line
    assert line.endswith(f"; {easy.answered} of {easy.frames} easy frames audited")
