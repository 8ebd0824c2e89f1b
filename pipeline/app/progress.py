"""How far a replay, or its compare video, is: a bar on a terminal, a line now and then elsewhere."""

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


class FrameProgress:
    """Shows how many frames of each stream are done; a context manager."""

    def __init__(self, console: Console, lengths: Mapping[str, int | None]) -> None:
        """Show it on ``console``; ``lengths`` are the frames of each stream, where they are known."""
        self._console = console
        self._lengths = lengths
        self._lines = dict.fromkeys(lengths, "")
        self._line_at_s = time.monotonic() + LINE_S
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            # Where the terminal is narrow, this one gives way.
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=False)),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
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
        self._lines[stream] = f"{stream}: {done}/{self._lengths[stream] or '?'} frames, {text}"

    def _say_lines(self) -> None:
        if not self._console.is_terminal and time.monotonic() >= self._line_at_s:
            self._line_at_s = time.monotonic() + LINE_S
            for line in filter(None, self._lines.values()):
                self._console.print(line, highlight=False, soft_wrap=True)


def _text(state: State) -> str:
    tally = state.tally
    waiting = state.waiting or state.reason
    return f"{tally.easy} easy, {tally.cloud} by the cloud, {tally.pending} under way" + (
        f" ({waiting})" if waiting else ""
    )
