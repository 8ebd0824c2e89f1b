"""How long an answer may take (RFC 6298 and Karn)."""

from __future__ import annotations

import pytest

from stages.round_trips import RoundTrips


def test_before_anything_is_measured_it_is_the_first_timeout() -> None:
    assert RoundTrips(first_s=10).timeout_s(1) == 10


def test_the_first_measure_gives_mean_and_half_of_it_as_deviation() -> None:
    trips = RoundTrips()
    trips.measured(1.0)
    assert (trips.mean_s, trips.deviation_s) == (1.0, 0.5)
    assert trips.timeout_s(1) == 3.0


def test_later_measures_are_smoothed_by_an_eighth_and_a_quarter() -> None:
    trips = RoundTrips()
    trips.measured(1.0)
    trips.measured(3.0)
    assert trips.deviation_s == pytest.approx(0.75 * 0.5 + 0.25 * 2.0)
    assert trips.mean_s == pytest.approx(0.875 + 0.125 * 3.0)


def test_a_quick_worker_has_the_least_timeout() -> None:
    trips = RoundTrips(least_s=2.0)
    trips.measured(0.001)
    assert trips.timeout_s(1) == 2.0


def test_each_offer_doubles_the_timeout_up_to_the_longest() -> None:
    trips = RoundTrips(first_s=10, most_s=60)
    assert [trips.timeout_s(attempt) for attempt in (1, 2, 3, 4, 10_000)] == [10, 20, 40, 60, 60]


def test_what_was_lost_doubles_the_timeout_of_new_frames_until_one_is_measured() -> None:
    trips = RoundTrips(first_s=10)
    trips.lost(2)
    trips.lost(1)
    assert trips.timeout_s(1) == 40
    assert trips.timeout_s(4) == 60
    trips.measured(1.0)
    assert trips.timeout_s(1) == 3.0
