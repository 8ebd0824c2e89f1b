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


def test_commands_are_told_in_the_order_of_their_use() -> None:
    said = CliRunner().invoke(app, ["--help"]).stdout.partition("Commands:")[2]
    names = [line.split()[0] for line in said.splitlines() if line[:2] == "  " and line[2:3].isalpha()]
    first = ["replay", "run", "check", "status", "evaluate", "mine", "tune", "export", "sedna", "operator", "broker"]
    assert names == [*first, "drill"]
