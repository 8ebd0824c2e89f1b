"""How far a replay, its compare video or an evaluation is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from pipeline.messages import State

LINE_S: Final = 5.0

BAR: Final = range(4, 21)
"""So wide a bar may be: as wide as the terminal has room beside the words, which are not to be wrapped."""


class FrameProgress:
    """Shows how many frames of each stream are done; a context manager."""

    def __init__(
        self, console: Console, lengths: Mapping[str, int | None], what: str = "frames", *, transient: bool = False
    ) -> None:
        """Show it on ``console``.

        Args:
            console: a terminal, or not.
            lengths: the frames of each stream, where they are known.
            what: these are called.
            transient: whether the bars go in the end.
        """
        self._console = console
        self._lengths = lengths
        self._what = what
        self._lines = dict.fromkeys(lengths, "")
        self._said = dict(self._lines)
        self._line_at_s = time.monotonic() + LINE_S
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=_bar_width(console.width, lengths)),
            MofNCompleteColumn(),
            # Where the terminal is narrow, this one gives way.
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=False)),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=transient,
        )
        self._tasks: dict[str, TaskID] = {
            stream: self._bar.add_task(stream, total=length, text="") for stream, length in lengths.items()
        }

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, states: Iterable[State]) -> None:
        """Show the newest states of a replay; done is what was read."""
        for state in list(states):
            if state.stream in self._tasks:
                self._set(state.stream, state.tally.read, _text(state))
        self._say_lines()

    def update(self, stream: str, done: int, text: str) -> None:
        """Show that so many frames of a stream are done, and what of."""
        self._set(stream, done, text)
        self._say_lines()

    def _set(self, stream: str, done: int, text: str) -> None:
        self._bar.update(self._tasks[stream], completed=done, text=text)
        words = f"{stream}: {done}/{self._lengths[stream] or '?'} {self._what}"
        self._lines[stream] = f"{words}, {text}" if text else words

    def _say_lines(self) -> None:
        if not self._console.is_terminal and time.monotonic() >= self._line_at_s:
            self._line_at_s = time.monotonic() + LINE_S
            for stream, line in self._lines.items():
                if line != self._said[stream]:  # what stands still, or is done, is not said again
                    self._console.print(line, highlight=False, soft_wrap=True)
            self._said = dict(self._lines)


def _bar_width(width: int, lengths: Mapping[str, int | None]) -> int:
    """What a terminal of this width leaves beside name, counts, the longest of the usual texts, and the time."""
    most = max((length or 9999 for length in lengths.values()), default=0)
    words = f"{most}/{most} {_words(most, most, 99)} 0:00:00"
    left = width - max(map(len, lengths), default=0) - len(words) - 2
    return min(max(left, BAR.start), BAR.stop - 1)


def _text(state: State) -> str:
    tally = state.tally
    waiting = state.waiting or state.reason
    return _words(tally.easy, tally.cloud, tally.pending) + (f" ({waiting})" if waiting else "")


def _words(easy: int, cloud: int, pending: int) -> str:
    return f"{easy} easy, {cloud} by the cloud, {pending} under way"
