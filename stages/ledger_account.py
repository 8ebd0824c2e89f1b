"""One stream's sums, as the ledger keeps them in memory and in its table ``streams``."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

from pipeline.model import Counts


@dataclass(frozen=True, slots=True)
class Account:
    """One row of ``streams``: see ``stages.ledger_schema``."""

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
    upload_bytes: int = 0
    kept_bytes: int = 0
    removed: int = 0

    @property
    def counts(self) -> Counts:
        return Counts(self.read, self.skipped, self.dropped, self.admitted)

    @property
    def ended(self) -> int:
        """How many frames have ended."""
        return self.easy + self.cloud + self.expired + self.failed + self.interrupted

    def counted(self, counts: Counts) -> Account:
        """With these counts, if they are newer.

        A file is counted anew on each pass, and each pass counts the same: the one that got farthest is right.
        """
        if counts.read <= self.read:
            return self
        return replace(self, read=counts.read, skipped=counts.skipped, dropped=counts.dropped, admitted=counts.admitted)

    def with_admitted(self, least: int) -> Account:
        """With at least so many admitted frames: what is missing was read, and not counted before its reader died."""
        missing = max(0, least - self.admitted)
        return replace(self, read=self.read + missing, admitted=self.admitted + missing)

    def plus(self, ending: str, upload_bytes: int = 0, number: int = 1) -> Account:
        """With ``number`` more frames that ended so."""
        counted = {ending: getattr(self, ending) + number}
        return replace(self, upload_bytes=self.upload_bytes + upload_bytes, **counted)

    def holding(self, size_bytes: int, removed: int = 0) -> Account:
        """With so many bytes of pictures more, and so many frames whose pictures were removed."""
        return replace(self, kept_bytes=self.kept_bytes + size_bytes, removed=self.removed + removed)


COLUMNS: Final = tuple(field.name for field in fields(Account))
