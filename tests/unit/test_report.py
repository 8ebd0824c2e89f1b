"""What a report says of a run's speed."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.app.places import Places
from pipeline.app.report import Report, Run
from pipeline.config import validated
from tests.unit.test_export import run


@pytest.mark.parametrize(
    ("span_s", "admitted", "says"),
    [
        (5.5, 11, "speed     2.0 frames/s"),
        (2.0, 3, "speed     1.5 frames/s, of the 3 frames that were left to read"),
        (0.0, 0, "speed     -, since no frame was left to read"),
    ],
)
def test_the_speed_is_that_of_this_run(tmp_path: Path, span_s: float, admitted: int, says: str) -> None:
    run(tmp_path)
    places = Places.of(validated({"streams": {"gate": {"source": "a.mp4"}}, "sink": {"out": tmp_path}}))
    said = StringIO()
    Report.read(places, Run(span_s, admitted, {}, {}, {}), {}).show(Console(file=said, width=200))
    assert says in said.getvalue().splitlines()
