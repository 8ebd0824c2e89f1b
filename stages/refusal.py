"""While the disk takes nothing: why, since when, and when to try again."""

from __future__ import annotations

import math
from typing import Final

import structlog

_log = structlog.get_logger()

RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 30.0


class Refusal:
    """What the disk says while it takes nothing. The log has one line when that begins, and one when it is over.

    Attributes:
        reason: its last word with the remedy, or empty while it takes what comes.
        retry_at_s: when to try again: after 1 s, doubled to 30 s; ``inf`` while there is nothing to try.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.retry_at_s = math.inf
        self._since_s = 0.0
        self._delay_s = RETRY_FIRST_S

    def met(self, reason: str, now_s: float) -> bool:
        """Take one more refusal; return whether it is the first one."""
        first = not self.reason
        if first:
            _log.warning("disk_refuses", reason=reason, then="no new frames are admitted; it goes on by itself")
            self._since_s, self.retry_at_s = now_s, now_s + self._delay_s
        elif self.retry_at_s <= now_s:
            self._delay_s = min(2 * self._delay_s, RETRY_MOST_S)
            self.retry_at_s = now_s + self._delay_s
        self.reason = reason
        return first

    def over(self, now_s: float) -> bool:
        """The disk has taken all that waited; return whether it refused before."""
        if not self.reason:
            return False
        _log.info("disk_takes_again", after_s=round(now_s - self._since_s, 1))
        self.reason, self.retry_at_s, self._delay_s = "", math.inf, RETRY_FIRST_S
        return True
