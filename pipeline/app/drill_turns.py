"""Whose turn it is in a drill: which process is killed, and when."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from pipeline.errors import ConfigError

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|)")
_UNITS_S: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "": 1.0}


class Victim(StrEnum):
    """What a drill can kill."""

    BROKER = "broker"
    WORKER = "worker"
    EDGE = "edge"


def victims_of(text: str) -> tuple[Victim, ...]:
    """The victims of ``--kill``, e.g. ``broker,worker,edge``.

    Raises:
        ConfigError: one is unknown or named twice, or there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Victim)]
    if unknown or not names or len(set(names)) < len(names):
        why = f"{unknown[0]!r} is none" if unknown else f"{text!r} names none, or one of them twice"
        raise ConfigError("--kill", f"{why}: name some of {', '.join(Victim)}, with commas between them")
    return tuple(map(Victim, names))


def seconds_of(text: str) -> float:
    """The seconds of ``--every``, e.g. ``2s``, ``500ms``, ``1m`` or ``2``.

    Raises:
        ConfigError: it is no duration above 0.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if seconds <= 0:
        raise ConfigError("--every", f"{text!r} is no time between two kills: write e.g. 2s or 500ms")
    return seconds


class Turns:
    """One victim in turn, so often, and none again before it has moved a frame since its start.

    Of a kind with several processes, the one that was killed longest ago comes first. Where nobody of the kind whose
    turn it is has moved a frame yet, the others wait too: each kind is killed as often as the next one, or once more.

    Attributes:
        kills: how often each kind was killed.
    """

    def __init__(
        self, kinds: Sequence[Victim], processes: Mapping[Victim, Sequence[str]], every_s: float, now_s: float
    ) -> None:
        """Begin at ``now_s``; the first victim falls ``every_s`` seconds later.

        Args:
            kinds: what is killed, in this order, again and again.
            processes: the names of each kind's processes.
            every_s: the time between two kills, at least.
            now_s: monotonic seconds.
        """
        self.kills = Counter(dict.fromkeys(kinds, 0))
        self._kinds = deque(kinds)
        self._processes = {kind: deque(processes[kind]) for kind in kinds}
        self._every_s = every_s
        self._due_s = now_s + every_s

    def due(self, now_s: float, has_moved: Callable[[str], bool]) -> str | None:
        """The process to kill now, which counts as killed by that; None where none is due.

        Args:
            now_s: monotonic seconds.
            has_moved: whether a process has moved a frame since it was started last.
        """
        processes = self._processes[self._kinds[0]]
        chosen = next(filter(has_moved, processes), None) if now_s >= self._due_s else None
        if chosen is None:
            return None
        self.kills[self._kinds[0]] += 1
        self._kinds.rotate(-1)
        processes.remove(chosen)
        processes.append(chosen)
        self._due_s = now_s + self._every_s
        return chosen
