"""How long pictures are kept: ``20 GiB``, ``7 days``, or both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BeforeValidator, ByteSize, PlainSerializer, TypeAdapter, ValidationError

from pipeline.duration import UNITS_S

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
    if found[2].lower() in UNITS_S:
        return Limits(age_s=float(found[1]) * UNITS_S[found[2].lower()])
    try:
        return Limits(budget_bytes=int(_BYTES.validate_python(text)))
    except ValidationError as error:
        raise ValueError(f"{found[2]!r} is no unit of bytes or time; {_HOW}") from error


Keep = Annotated[Limits, BeforeValidator(_limits), PlainSerializer(str)]
