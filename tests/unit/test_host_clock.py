"""How much time has passed on a host, whatever its clock says."""

from __future__ import annotations

import pytest

from stages.host_clock import Moment, host_clock

THEN = Moment("a", 100.0, 1_800_000_000.0)


@pytest.mark.parametrize(
    ("later", "passed_s"),
    [
        (Moment("a", 160.0, 1_800_000_060.0), 60.0),
        (Moment("a", 160.0, 1_900_000_000.0), 60.0),
        (Moment("a", 160.0, 0.0), 60.0),
        (Moment("a", 90.0, 1_800_000_060.0), 0.0),
        (Moment("b", 5.0, 1_800_000_060.0), 60.0),
        (Moment("b", 5.0, 1_700_000_000.0), 0.0),
        (Moment("", 160.0, 1_800_000_030.0), 30.0),
    ],
)
def test_a_clock_that_jumps_is_looked_at_only_after_a_restart_of_the_host(later: Moment, passed_s: float) -> None:
    assert later.since(THEN) == passed_s


def test_a_clock_that_was_not_set_says_nothing() -> None:
    assert Moment("b", 5.0, 1_800_000_000.0).since(Moment("a", 5.0, 30.0)) == 0.0


def test_nobody_knows_the_boot_of_two_unknown_ones() -> None:
    assert Moment("", 900.0, 1_800_000_010.0).since(Moment("", 100.0, 1_800_000_000.0)) == 10.0


def test_a_moment_before_lies_as_far_back_on_both_clocks() -> None:
    assert THEN.since(THEN.before(7.0)) == 7.0
    assert Moment("b", 0.0, THEN.wall_s).since(THEN.before(7.0)) == 7.0


def test_the_hosts_clock_goes_on() -> None:
    clock = host_clock()
    first, second = clock(), clock()
    assert first.boot
    assert 0.0 <= second.since(first) < 60.0
