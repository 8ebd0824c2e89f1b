"""What every test may ask for."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter
from hypothesis import settings

from tests.simulation.coverage import PROPERTY, Coverage

ROOT = Path(__file__).parent.parent

settings.register_profile("shared machine", deadline=None)  # where others compute as well, a clock measures them
settings.load_profile("shared machine")


gc.disable()  # a third of the time to load all tests was the collector's, which found nothing


def pytest_collection_finish() -> None:
    """Leave what was loaded, and stays, out of each later collection."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The clips and labelled photographs of the development machines, which are not part of the project."""
    folder = ROOT.parent / "shared"
    if not (folder / "video").is_dir():
        pytest.skip("needs the clips and photographs in ../shared, which are not part of the project")
    return folder


@pytest.fixture(scope="session")
def mosquitto() -> str:
    """The path of the Mosquitto broker. A missing one skips locally and fails in CI."""
    found = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        reason = "needs Mosquitto: apt-get install mosquitto"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say what the simulated schedules of this run have met, whichever process they ran in."""
    passed = terminalreporter.getreports("passed")
    coverage = Coverage.of(str(text) for report in passed for name, text in report.user_properties if name == PROPERTY)
    if coverage.schedules:
        terminalreporter.section("simulation")
        for line in coverage.lines():
            terminalreporter.write_line(line)
