"""What may be sent to the cloud, as people write it: ``200 kbit/s``, ``20 %``, ``20 % of the bytes`` and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer

from pipeline.duration import UNITS_S

_BYTES: Final[Mapping[str, float]] = {
    f"{prefix}{unit}": size * factor
    for unit, size in {"bit": 0.125, "B": 1.0}.items()
    for prefix, factor in {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20}.items()
}
_WRITTEN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:(%)(\s*of\s+(?:the\s+)?bytes)?|([A-Za-z]+)\s*/\s*([a-z]+))")
_HOW: Final = 'should be a rate or a part: "200 kbit/s", "25 kB/s", "5 frames/min", "20 %" or "20 % of the bytes"'


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of a stream may be sent.

    Attributes:
        setting: as it is written.
        unit: what is counted: ``bytes`` of the JPEGs that travel, or ``frames``.
        per_s: so much for each second of media time; None for a part of the frames.
        share: the part of all frames, or of what all of them take, 0 to 1, where ``per_s`` is None.
    """

    setting: str
    unit: str
    per_s: float | None = None
    share: float = 0.0

    def __str__(self) -> str:
        return self.setting

    @property
    def by_size(self) -> bool:
        """Whether what frames take counts that are not sent."""
        return self.per_s is None and self.unit == "bytes"

    def divided(self, streams: int) -> Budget:
        """The part of each stream where so many have this budget together; a part is so for each."""
        if self.per_s is None or streams < 2:
            return self
        return Budget(f"{self.setting} / {streams}", self.unit, self.per_s / streams)

    def income(self, frames: int, span_s: float, all_bytes: float = 0.0) -> float:
        """What may be spent on so many frames that take so much, so many seconds of media time from first to last."""
        if self.per_s is None:
            return self.share * (all_bytes if self.by_size else frames)
        return self.per_s * span_s * frames / max(1, frames - 1)  # the last one has its time too

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read what people write.

        Raises:
            ValueError: it is no budget; the text says what would be one.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None or float(found[1]) == 0:
            raise ValueError(_HOW)
        amount, percent, of_bytes, what, per = float(found[1]), *found.groups()[1:]
        setting = f"{amount:g} %{' of the bytes' if of_bytes else ''}" if percent else f"{amount:g} {what}/{per}"
        if percent:
            if amount > 100:
                raise ValueError(f"{setting} is more than all frames; {_HOW}")
            return cls(setting, "bytes" if of_bytes else "frames", share=amount / 100)
        if per not in UNITS_S:
            raise ValueError(f"{per!r} is no unit of time: use s, min, h or day; {_HOW}")
        if what in ("frame", "frames"):
            return cls(setting, "frames", amount / UNITS_S[per])
        if what not in _BYTES:
            raise ValueError(f"{what!r} is no unit of data: use bit, kbit, Mbit, B, kB, MB or frames; {_HOW}")
        return cls(setting, "bytes", amount * _BYTES[what] / UNITS_S[per])


def _budget(value: object) -> object:
    if isinstance(value, Budget):
        return value
    if not isinstance(value, str):
        raise ValueError(_HOW)  # noqa: TRY004 - pydantic wants a ValueError
    return Budget.parse(value)


BudgetSetting = Annotated[Budget, BeforeValidator(_budget), PlainSerializer(str)]
