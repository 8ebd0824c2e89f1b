"""A file behind a URL, read on a thread of its own."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from pipeline.errors import SourceError
from pipeline.stage import Clock
from stages.source import Ended, Passed, Picture, Wanted, every_frame
from stages.sources.file import FileSource
from stages.sources.hung import GIVE_UP_S, Hung

OPEN_S: Final = 3.0
"""So long ``open`` waits for the file; a slower one is opened while ``read`` says that there is nothing yet."""

_AHEAD: Final = 2
_JOIN_S: Final = 1.0
_LOOK_S: Final = 0.1

_Answer = Picture | Passed | Ended | SourceError


class RemoteFile:
    """A ``FileSource`` behind a URL, whose server may hang while the process must stop.

    It gives the same pictures and numbers as the file itself. Reading is a thread's work, a little ahead; ``read``
    never waits for it. A thread that does not come back is given up, and the file is opened anew on another.
    """

    live = False

    def __init__(self, make: Callable[[Counter[int]], FileSource], name: str, clock: Clock = time.monotonic) -> None:
        """Read a file.

        Args:
            make: the file anew, not opened yet, from the counts of where it broke off (see ``FileSource``).
            name: what to call it in messages, without passwords.
            clock: the monotonic clock.
        """
        self.name = name
        self._make = make
        self._clock = clock
        self._breaks: Counter[int] = Counter()
        self._file: FileSource | None = None
        self._reader: _Reader | None = None
        self._hung = Hung()

    @property
    def fps(self) -> float | None:
        """What the file states, once it is open."""
        return self._file.fps if self._file else None

    @property
    def length(self) -> int | None:
        """How many frames it says that it has, once it is open."""
        return self._file.length if self._file else None

    def look(self) -> int | None:
        """Open the file and close it again, however long that takes; return how many frames it says that it has.

        Raises:
            SourceError: it cannot be opened; the text names it and the remedy.
        """
        file = self._make(Counter())
        file.open()
        file.close()
        return file.length

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        """Begin to open the file, and wait a moment for it.

        Raises:
            SourceError: it cannot be opened, as far as that is known already, or too many tries still hang.
        """
        self.close()
        self._hung.check(self.name)
        self._file = self._make(self._breaks)  # anew: a thread that hangs may still be in the one before
        self._reader = _Reader(self._file, first_seq, wanted, self._clock)
        self._reader.start()
        self._reader.opened.wait(OPEN_S)
        if self._reader.failure is not None:
            raise self._reader.failure

    def read(self) -> Picture | Passed | Ended | None:
        """The next sampled and wanted picture, the end, or None where nothing has come yet.

        Raises:
            SourceError: it cannot be opened, or the connection is lost.
        """
        if self._reader is None:
            raise SourceError(f"{self.name} is not open")
        try:
            got = self._reader.answers.get_nowait()
        except queue.Empty:
            if self._reader.busy_s > GIVE_UP_S:
                raise SourceError(f"{self.name} hangs: no answer for {GIVE_UP_S:g} s; check its server") from None
            return None
        if isinstance(got, SourceError):
            raise got
        return got

    def close(self) -> None:
        """Stop the thread, which lets go of the file as soon as what it waits for has come or timed out."""
        if self._reader is not None:
            self._reader.stop()
            self._hung.add(self._reader)
        self._reader = None


class _Reader(threading.Thread):
    """Reads a file from its opening to its end or loss.

    Attributes:
        opened: the file is open, or cannot be.
        failure: why it cannot be opened.
        answers: what ``read`` gave, and at last what it raised.
    """

    def __init__(self, file: FileSource, first_seq: int, wanted: Wanted, clock: Clock) -> None:
        super().__init__(name="remote-file", daemon=True)
        self.opened = threading.Event()
        self.failure: SourceError | None = None
        self.answers: queue.Queue[_Answer] = queue.Queue(_AHEAD)
        self._file = file
        self._first_seq = first_seq
        self._wanted = wanted
        self._clock = clock
        self._stopped = threading.Event()
        self._called_s: float | None = clock()

    @property
    def busy_s(self) -> float:
        """How long the call into OpenCV that is under way, if one is, has taken."""
        called_s = self._called_s
        return 0.0 if called_s is None else self._clock() - called_s

    def stop(self) -> None:
        self._stopped.set()
        self.join(_JOIN_S)

    def run(self) -> None:
        try:
            self._open()
            self._read()
        except SourceError as error:
            self._hand_over(error)
        finally:
            self.opened.set()
            self._file.close()

    def _open(self) -> None:
        try:
            self._file.open(self._first_seq, self._wanted)
        except SourceError as error:
            self.failure = error
            raise
        self.opened.set()

    def _read(self) -> None:
        while not self._stopped.is_set():
            self._called_s = self._clock()
            got = self._file.read()
            self._hand_over(got)
            if isinstance(got, Ended):
                return

    def _hand_over(self, answer: _Answer) -> None:
        self._called_s = None
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self.answers.put(answer, timeout=_LOOK_S)
                return
