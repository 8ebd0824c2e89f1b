"""Amounts of data for people."""

from __future__ import annotations

import math


def size_text(size: int) -> str:
    """So many bytes, for people."""
    power = min(3, int(math.log(size, 1024))) if size else 0
    return f"{size / 1024**power:.1f} {('bytes', 'KiB', 'MiB', 'GiB')[power]}" if power else f"{size} bytes"
