"""Workers by credit: real uplinks and worker processes over a real Mosquitto, with an inference that only waits.

(s) 400 frames, a worker of 5 ms beside one of 50 ms: the time it takes over the ideal one, in which both work all the
    time, by the service times that the workers measured.
(n) 1, 2 and 4 workers of 50 ms: frames a second once all of them have work, over those of one.
(u) 100 uplinks of 4 frames each on one worker of 50 ms with a queue of 16: when each had its first answer.
"""

from __future__ import annotations

import argparse
import logging
import os

import structlog

from tests.integration.worker_rig import crowd, shared


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of (s) and (n)")
    parser.add_argument("--only", choices=["s", "n", "u"], help="one of the three")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for _ in range(options.rounds):
        if options.only in (None, "s"):
            beside_a_slow_one()
        if options.only in (None, "n"):
            equal_ones()
    if options.only in (None, "u"):
        many_uplinks()


def beside_a_slow_one() -> None:
    """(s): a quick worker and a slow one."""
    both = shared((5, 50), 400)
    print(
        f"(s) 400 frames in {both.took_s:.2f} s, ideally {both.ideal_s:.2f} s: {both.ratio:.2f} (at most 1.2); "
        f"{both.by_worker['w1']} by the quick worker, {both.by_worker['w2']} by the slow one; "
        f"load {os.getloadavg()[0]:.1f}"
    )


def equal_ones() -> None:
    """(n): 1, 2 and 4 workers."""
    per_s = {n: shared((50,) * n, 40 * n).per_s for n in (1, 2, 4)}
    parts = [f"{n} workers {rate:.1f} frames/s, {rate / per_s[1] / n:.3f} N" for n, rate in per_s.items()]
    print(f"(n) {'; '.join(parts)} (at least 0.95 N); load {os.getloadavg()[0]:.1f}")


def many_uplinks() -> None:
    """(u): one worker, many uplinks."""
    one = crowd(uplinks=100, service_ms=50, frames=4)
    print(
        f"(u) 100 uplinks: all answered, at most {one.most_queued} queued (of 16); the first answer of each within "
        f"{one.first_s[-1]:.1f} s, where one for each takes {one.round_s:.1f} s; at half time each had "
        f"{one.least_at_half} or more of its 4; a frame was sent {one.asked:.1f} times; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
