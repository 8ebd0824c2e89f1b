"""How long pictures are kept: ``20 GiB``, ``7 days``, or both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BeforeValidator, ByteSize, PlainSerializer, TypeAdapter, ValidationError

_SECONDS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("s", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
    **dict.fromkeys(("week", "weeks"), 7 * 86400),
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)")
_HOW: Final = 'write bytes or an age, each with its unit, or both: "20 GiB", "7 days", "20 GiB, 7 days"'
_BYTES: Final = TypeAdapter(ByteSize)


@dataclass(frozen=True, slots=True)
class Limits:
    """Up to where pictures are kept; None is no limit.

    Attributes:
        budget_bytes: so much on disk.
        age_s: so long after capture.
    """

    budget_bytes: int | None = None
    age_s: float | None = None

    def __str__(self) -> str:
        """As it is written in a config."""
        parts = [f"{self.budget_bytes}B"] if self.budget_bytes is not None else []
        return ", ".join(parts + ([f"{self.age_s!r}s"] if self.age_s is not None else []))


def _limits(value: object) -> object:
    if not isinstance(value, str):
        if isinstance(value, Limits):
            return value
        raise ValueError(_HOW)
    limits = Limits()
    for part in value.split(","):
        limit = _limit(part.strip())
        both = (limits.budget_bytes is None or limit.budget_bytes is None) and (
            limits.age_s is None or limit.age_s is None
        )
        if not both:
            raise ValueError(f"{part.strip()!r} is one limit too many; {_HOW}")
        limits = Limits(
            limit.budget_bytes if limits.budget_bytes is None else limits.budget_bytes,
            limit.age_s if limits.age_s is None else limits.age_s,
        )
    return limits


def _limit(text: str) -> Limits:
    found = _PART.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise ValueError(_HOW)
    if found[2].lower() in _SECONDS:
        return Limits(age_s=float(found[1]) * _SECONDS[found[2].lower()])
    try:
        return Limits(budget_bytes=int(_BYTES.validate_python(text)))
    except ValidationError as error:
        raise ValueError(f"{found[2]!r} is no unit of bytes or time; {_HOW}") from error


Keep = Annotated[Limits, BeforeValidator(_limits), PlainSerializer(str)]
