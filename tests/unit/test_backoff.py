"""The pause before a broker is tried again: 1 to 30 s, longer each time, and not the same for all."""

from __future__ import annotations

import pytest

from broker.backoff import pause_s


@pytest.mark.parametrize(
    ("failed_tries", "least_s", "most_s"), [(0, 1, 2), (1, 2, 4), (2, 4, 8), (3, 8, 16), (4, 15, 30), (30, 15, 30)]
)
def test_pauses_double_within_their_bounds_and_differ(failed_tries: int, least_s: float, most_s: float) -> None:
    pauses = [pause_s(failed_tries, (1.0, 30.0)) for _ in range(200)]
    assert least_s <= min(pauses) <= max(pauses) <= most_s
    assert max(pauses) - min(pauses) > (most_s - least_s) / 2


def test_no_pause_is_shorter_than_the_shortest_however_near_the_longest_is() -> None:
    pauses = [pause_s(9, (1.0, 1.5)) for _ in range(200)]
    assert 1.0 <= min(pauses) <= max(pauses) <= 1.5
