"""A camera, by URL or by number, which waits for nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipeline.errors import SourceError
from pipeline.image import Image, Pixels
from pipeline.stage import Clock
from stages.source import Passed, Picture, Wanted, every_frame
from stages.sources.capture import Capture, media_s, stated_fps, timed_out
from stages.sources.hung import GIVE_UP_S, Hung
from stages.sources.sampling import DEFAULT_FPS, Sampling

_JOIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Taken:
    """The newest sampled frame."""

    seq: int
    pixels: Pixels
    captured_ns: int
    captured_s: float


class LiveSource:
    """A camera that a thread of its own reads at the camera's pace; of the sampled frames it keeps the newest.

    ``open`` comes back at once; connecting is the thread's work, and ``read`` raises what became of it. Numbers and
    media time go on where the reader says they do, so they only ever rise. A thread whose call into OpenCV does not
    come back is given up, and the camera is opened anew on another.
    """

    live = True

    def __init__(
        self,
        connect: Callable[[], Capture],
        sampling: Sampling,
        *,
        name: str,
        quality: int = 90,
        wall_ns: Callable[[], int] = time.time_ns,
        clock: Clock = time.monotonic,
    ) -> None:
        """Read the camera that ``connect`` opens.

        Args:
            connect: opens the camera, and raises SourceError if it cannot; it runs on the source's own thread.
            sampling: which frames become pictures.
            name: what to call it in messages, without passwords.
            quality: the JPEG quality (1 to 100) of pictures that must leave this process.
            wall_ns: the wall clock.
            clock: the monotonic clock.
        """
        self.name = name
        self._connect = connect
        self._sampling = sampling
        self._quality = quality
        self._wall_ns = wall_ns
        self._clock = clock
        self._grabber: _Grabber | None = None
        self._fps: float | None = None
        self._hung = Hung()

    @property
    def length(self) -> int | None:
        """Nobody knows."""
        return None

    @property
    def fps(self) -> float | None:
        """What the camera states, once it is reached."""
        if self._fps is None and self._grabber is not None:
            self._fps = self._grabber.fps
        return self._fps

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:  # noqa: ARG002 - every new frame is wanted
        """Start to connect; the first frame that comes has the number ``first_seq``.

        Raises:
            SourceError: too many earlier tries still hang.
        """
        self.close()
        self._hung.check(self.name)
        self._grabber = _Grabber(self._connect, self._sampling, first_seq, self._wall_ns, self._clock)
        self._grabber.start()

    def read(self) -> Picture | Passed | None:
        """The newest sampled frame, if there is one that was not read yet.

        Raises:
            SourceError: the camera was not reached, or was lost; the text names it and the remedy.
        """
        if self._grabber is None:
            raise SourceError(f"{self.name} is not open")
        taken, passed, failure = self._grabber.take()
        if taken is not None:
            image = Image(pixels=taken.pixels, quality=self._quality)
            age_s = max(0.0, self._clock() - taken.captured_s)
            return Picture(taken.seq, image, taken.captured_ns, media_s(taken.seq, self.fps), age_s, passed)
        if failure and not passed.count:
            raise SourceError(f"{self.name} {failure}")
        if not failure and self._grabber.busy_s > GIVE_UP_S:
            raise SourceError(f"{self.name} hangs: no answer for {GIVE_UP_S:g} s; check it and its driver")
        return passed if failure else None

    def close(self) -> None:
        """Stop the thread, which lets go of the camera as soon as the frame it waits for has come or timed out."""
        if self._grabber is not None:
            self._grabber.stop()
            self._hung.add(self._grabber)
        self._grabber = None


class _Grabber(threading.Thread):
    """One connection to a camera, from its opening to its loss."""

    def __init__(
        self,
        connect: Callable[[], Capture],
        sampling: Sampling,
        first_seq: int,
        wall_ns: Callable[[], int],
        clock: Clock,
    ) -> None:
        super().__init__(name="camera", daemon=True)
        self.fps: float | None = None
        self._connect = connect
        self._sampling = sampling
        self._seq = first_seq - 1
        self._wall_ns = wall_ns
        self._clock = clock
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._taken: _Taken | None = None
        self._before = Passed()  # what passed before the frame taken
        self._after = Passed()  # and what has passed since
        self._failure = ""
        self._called_s = clock()

    def run(self) -> None:
        try:
            self._read()
        finally:
            self._fail("is read no more")  # whatever it was that ended this thread, the reader must not wait for it

    def _read(self) -> None:
        try:
            capture = self._connect()
        except SourceError as error:
            self._fail(str(error))
            return
        try:
            self.fps = stated_fps(capture)
            while not self._stopped.is_set():
                self._called_s = self._clock()
                if not capture.grab():
                    self._fail(self._loss)
                    return
                self._grabbed(capture)
        finally:
            capture.release()

    @property
    def busy_s(self) -> float:
        """How long the call into OpenCV that is under way, if one is, has taken."""
        return self._clock() - self._called_s if self.is_alive() else 0.0

    @property
    def _loss(self) -> str:
        if timed_out(self.busy_s):
            return f"has sent nothing for {self.busy_s:.0f} s; check that it is on, and the network between"
        return "has ended its stream; it is opened again, check it if this goes on"

    def stop(self) -> None:
        self._stopped.set()
        self.join(_JOIN_S)

    def take(self) -> tuple[_Taken | None, Passed, str]:
        """The newest frame and what passed before it; or no frame, and what passed if the camera is lost, and why."""
        with self._lock:
            if self._taken is not None:
                taken, passed = self._taken, self._before
                self._taken, self._before, self._after = None, self._after, Passed()
                return taken, passed, self._failure
            passed = self._before
            if self._failure:
                self._before = Passed()
            return None, passed, self._failure

    def _grabbed(self, capture: Capture) -> None:
        self._seq += 1
        ok, taken = self._sampling.takes(self._seq, self.fps or DEFAULT_FPS), None
        if ok:
            captured_ns, captured_s = self._wall_ns(), self._clock()
            ok, pixels = capture.retrieve()
            taken = _Taken(self._seq, pixels, captured_ns, captured_s) if ok else None
        with self._lock:
            if taken is None:
                self._pass(Passed(skipped=1))
            elif self._taken is None:
                self._taken = taken
            else:
                self._taken, self._before, self._after = (
                    taken,
                    self._before + self._after + Passed(dropped=1),
                    Passed(),
                )

    def _pass(self, passed: Passed) -> None:
        if self._taken is None:
            self._before += passed
        else:
            self._after += passed

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._failure = self._failure or reason
