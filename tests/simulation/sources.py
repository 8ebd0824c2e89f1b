"""A video file and a camera, whose pictures have their number in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.errors import SourceError
from pipeline.image import Image
from pipeline.stage import Clock
from stages.source import Ended, Passed, Picture, Wanted, every_frame
from tests.simulation.doubles import jpeg

PLAIN_PIXELS = 8
LARGE_PIXELS = 64


@dataclass
class Clip:
    """A video file of ``frames`` frames, of which every ``every``-th is sampled; ``fps`` counts sampled ones.

    The picture of a frame has the frame's ``seq`` in it.
    """

    frames: int
    every: int
    fps: float | None
    large: frozenset[int]
    large_met: Callable[[], None]
    live: bool = False
    name: str = "clip.mp4"
    length: int | None = None
    seq: int = 0
    wanted: Wanted = every_frame

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        assert first_seq == 1, "a file is read from its beginning"
        self.seq, self.wanted = 0, wanted

    def read(self) -> Picture | Passed | Ended | None:
        skipped = done = 0
        while self.seq < self.frames:
            self.seq += 1
            if (self.seq - 1) % self.every:
                skipped += 1
            elif not self.wanted(self.seq):
                done += 1
            else:
                image = _picture(self.seq, self.seq in self.large, self.large_met)
                media_s = (self.seq - 1) / self.every / (self.fps or 1)
                return Picture(self.seq, image, self.seq * 10**9, media_s, 0.0, Passed(skipped, done=done))
        return Ended(Passed(skipped, done=done), "")

    def close(self) -> None:
        self.seq = self.frames


@dataclass
class Shot:
    """A picture that a camera gave.

    Attributes:
        reader: how many readers had opened the camera by then.
    """

    seq: int
    reader: int


@dataclass
class Camera:
    """A camera that shows ``frames`` frames and then the same for ever, of which every ``every``-th is sampled.

    It waits for nobody: of the sampled frames since it was last asked it keeps the newest. What was shown while nobody
    had it open is nobody's. Its number, and the picture, count the pictures given, whoever they were given to.

    Attributes:
        shots: the pictures that were given, by their number from 1.
        given: how many source frames it has counted, to all readers together.
        dropped: the sampled ones among them that gave way to a newer one.
        readers: how often it was opened by a new reader.
    """

    clock: Clock
    frames: int
    every: int
    fps: float
    large: frozenset[int]
    large_met: Callable[[], None]
    shots: dict[int, Shot] = field(default_factory=dict)
    given: int = 0
    dropped: int = 0
    readers: int = 0
    live: bool = True
    name: str = "rtsp://camera"
    length: int | None = None
    _seq: int = 0
    _asked_s: float | None = None
    _before: Passed = field(default_factory=Passed)
    _lost_until_s: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing new will be seen."""
        return self.given + self._before.count >= self.frames

    def lose(self, for_s: float) -> None:
        """Do not answer for a while."""
        self._lost_until_s = max(self._lost_until_s, self.clock() + for_s)

    def open(self, first_seq: int = 1, wanted: Wanted = every_frame) -> None:
        self._seq, self._asked_s, self._before = first_seq - 1, self.clock(), Passed()

    def read(self) -> Picture | Passed | None:
        now_s = self.clock()
        assert self._asked_s is not None, "it was not opened"
        if now_s < self._lost_until_s:
            self._asked_s = now_s
            if self._before.count:
                passed, self._before = self._before, Passed()
                self.given += passed.count
                return passed
            raise SourceError(f"{self.name} gives no more frames")
        rate = self.fps * self.every
        new = min(int((now_s - self._asked_s) * rate), self.frames - self.given - self._before.count)
        self._asked_s += new / rate if self.given + new < self.frames else now_s - self._asked_s
        first, last = self._seq + 1, self._seq + new
        sampled = (last - 1) // self.every - (first - 2) // self.every
        self._seq = last
        if not sampled:
            self._before += Passed(skipped=new)
            return None
        seq = 1 + (last - 1) // self.every * self.every
        between = seq - first - (sampled - 1)
        passed, self._before = self._before + Passed(between, sampled - 1), Passed(last - seq)
        return self._take(seq, passed)

    def close(self) -> None:
        self._asked_s = None

    def _take(self, seq: int, passed: Passed) -> Picture:
        self.given += passed.count + 1
        self.dropped += passed.dropped
        number = len(self.shots) + 1
        self.shots[number] = Shot(seq, self.readers)
        image = _picture(number, seq in self.large, self.large_met)
        return Picture(seq, image, int(self.clock() * 10**9), seq / self.every / self.fps, 0.0, passed)


def _picture(number: int, large: bool, met: Callable[[], None]) -> Image:  # noqa: FBT001 - private
    if large:
        met()
    return Image(jpeg=jpeg(number, LARGE_PIXELS if large else PLAIN_PIXELS))
