"""The end of a test run says what the simulation has met."""

from __future__ import annotations

from _pytest.terminal import TerminalReporter

from tests.simulation.coverage import Coverage


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the coverage of all schedules of this run, whichever process they ran in."""
    reports = terminalreporter.getreports("passed")
    coverage = Coverage.of(text for report in reports for name, text in report.user_properties if name == "simulation")
    if coverage.schedules:
        terminalreporter.section("simulation")
        for line in coverage.lines():
            terminalreporter.write_line(line)
