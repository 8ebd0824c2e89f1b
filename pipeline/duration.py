"""Durations as people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

UNITS_S: Final[Mapping[str, float]] = {
    **dict.fromkeys(("week", "weeks"), 7 * 86400.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "second", "seconds"), 1.0),
}
"""Seconds of each unit, by the names that people write."""

_SHOWN: Final = ("h", "min", "s")
_WRITTEN: Final = re.compile(rf"([0-9.]+)\s*({'|'.join(UNITS_S)})")


class Duration(float):
    """Seconds, more than 0: a number, or text with a unit such as ``10 min``, ``600 s`` or ``1.5 h``."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        seconds = core_schema.float_schema(gt=0, allow_inf_nan=False)
        made = core_schema.no_info_after_validator_function(cls, seconds)
        return core_schema.no_info_before_validator_function(_seconds, made)

    def human_readable(self) -> str:
        """In the largest unit that gives a whole number."""
        unit = next((unit for unit in _SHOWN if self % UNITS_S[unit] == 0), "s")
        return f"{self / UNITS_S[unit]:g} {unit}"


def _seconds(value: object) -> object:
    """Text with a unit becomes a number; whatever else it is, the next validator looks at."""
    written = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
    if written:
        return float(written[1]) * UNITS_S[written[2]] if written[1].count(".") < 2 else value
    if isinstance(value, str) and not re.fullmatch(r"[0-9.]+", value.strip()):
        raise ValueError("should be seconds, or a number with its unit: s, min, h or days, e.g. 10 min")
    return value
