"""One stream's sums, as the ledger keeps them in memory and in its table ``streams``."""

from __future__ import annotations

from typing import Final, NamedTuple

from pipeline.gain import Found, Gain
from pipeline.model import Counts
from stages.gain import gain_of


class Account(NamedTuple):
    """One row of ``streams``: see ``stages.ledger_schema``.

    A tuple, since it changes with every frame: ``dataclasses.replace`` takes ten times as long over so many fields.
    """

    stream: str
    fingerprint: str = ""
    source: str = ""
    live: int = 0
    reader: str = ""
    uplink: str = ""
    read: int = 0
    skipped: int = 0
    dropped: int = 0
    admitted: int = 0
    easy: int = 0
    cloud: int = 0
    expired: int = 0
    failed: int = 0
    interrupted: int = 0
    lost: int = 0
    last_seq: int = 0
    ahead: int = 0
    found: int = 0
    upload_bytes: int = 0
    kept_bytes: int = 0
    removed: int = 0
    hard_frames: int = 0
    hard_answered: int = 0
    hard_missed: int = 0
    hard_corrected: int = 0
    easy_frames: int = 0
    easy_answered: int = 0
    easy_missed: int = 0
    easy_corrected: int = 0

    @property
    def counts(self) -> Counts:
        """What its reader has counted."""
        return Counts(self.read - self.found, self.skipped, self.dropped, self.admitted - self.found)

    @property
    def position(self) -> int:
        """Of a camera: the number of the last frame that its reader has counted."""
        return self.counts.read + self.ahead

    @property
    def ended(self) -> int:
        """How many frames have ended."""
        return self.easy + self.cloud + self.expired + self.failed + self.interrupted

    def counted(self, counts: Counts) -> Account:
        """With these counts, if they are newer.

        A file is counted anew on each pass, and each pass counts the same: the one that got farthest is right.
        """
        if counts.read <= self.counts.read:
            return self
        read, admitted = counts.read + self.found, counts.admitted + self.found
        return self._replace(read=read, skipped=counts.skipped, dropped=counts.dropped, admitted=admitted)

    def overtaken(self) -> Account:
        """With a frame of an earlier reader that arrives when the next one has begun.

        It was given up, or died with the reader's last counts.
        """
        if self.lost:
            return self._replace(lost=self.lost - 1, interrupted=self.interrupted - 1)
        return self._replace(read=self.read + 1, admitted=self.admitted + 1, found=self.found + 1)

    def begun(self, last_seq: int, lost: int) -> Account:
        """With a new reader of a camera, which numbers its frames from ``last_seq`` + 1.

        Args:
            last_seq: no earlier reader has used a number beyond it.
            lost: how many admitted frames have no row.
        """
        interrupted = self.interrupted - self.lost + lost
        ahead = last_seq - self.read
        return self._replace(lost=lost, interrupted=interrupted, last_seq=last_seq, ahead=ahead, found=0)

    def plus(self, ending: str, upload_bytes: int = 0, number: int = 1) -> Account:
        """With ``number`` more frames that ended so."""
        counted = {ending: getattr(self, ending) + number}
        return self._replace(upload_bytes=self.upload_bytes + upload_bytes, **counted)

    def judged(self, *, hard: bool) -> Account:
        """With one more frame that a miner found hard or easy."""
        return self._replace(hard_frames=self.hard_frames + hard, easy_frames=self.easy_frames + (not hard))

    def compared(self, *, hard: bool, came: int, went: int) -> Account:
        """With one more frame that the cloud has answered, adding and removing so many boxes."""
        which = "hard" if hard else "easy"
        found = {"answered": 1, "missed": int(came > 0), "corrected": int(came + went > 0)}
        return self._replace(**{f"{which}_{name}": getattr(self, f"{which}_{name}") + n for name, n in found.items()})

    @property
    def gain(self) -> Gain:
        """What the edge misses and what the cloud corrects."""
        hard = Found(self.hard_frames, self.hard_answered, self.hard_missed, self.hard_corrected)
        return gain_of(hard, Found(self.easy_frames, self.easy_answered, self.easy_missed, self.easy_corrected))

    def holding(self, size_bytes: int, removed: int = 0) -> Account:
        """With so many bytes of pictures more, and so many frames whose pictures were removed."""
        return self._replace(kept_bytes=self.kept_bytes + size_bytes, removed=self.removed + removed)


COLUMNS: Final = Account._fields
