"""What ``--help`` names."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from pipeline.cli import app


@pytest.mark.parametrize(
    ("command", "shown"), [("replay", "VIDEO...  "), ("run", "STAGE...  "), ("export", "OUT...  "), ("fetch", "FILE  ")]
)
def test_arguments_are_shown_as_in_the_usage(command: str, shown: str) -> None:
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "100"}).stdout
    assert any(line.strip().startswith(shown) for line in said.splitlines()), said
    assert "<" not in said.partition("Options:")[0]
