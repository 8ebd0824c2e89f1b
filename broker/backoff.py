"""How long to wait before a broker is tried again."""

from __future__ import annotations

import random


def pause_s(failed_tries: int, bounds_s: tuple[float, float]) -> float:
    """A random time, by which those that lost the same broker do not all come back at once.

    It lies between a half and the whole of what doubles with each try, which is the "equal jitter" of AWS
    (Brooker, Exponential Backoff And Jitter, 2015), and always within ``bounds_s``.

    Args:
        failed_tries: how many have failed before the one that failed now.
        bounds_s: the shortest and the longest pause, seconds.
    """
    shortest_s, longest_s = bounds_s
    most_s = min(longest_s, 2 * shortest_s * 2**failed_tries)
    return random.uniform(max(shortest_s, most_s / 2), most_s)  # noqa: S311 - jitter
