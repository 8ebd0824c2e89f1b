"""The report of an evaluation, read again."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import BaseModel, ValidationError

from pipeline.app.evaluate.afford import Affordable
from pipeline.app.evaluate.curves import Curves
from pipeline.app.evaluate.replay import Figure
from pipeline.errors import ConfigError

FIELD = "--from"


class _Figure(BaseModel):
    map50: float | None
    gap_recovered: float | None
    bytes: int


class Written(BaseModel):
    """What is needed of a report that ``tandem evaluate --report`` wrote."""

    images: int
    bytes: int
    miners: dict[str, dict[str, _Figure]]
    thresholds: dict[str, dict[str, float | None]]
    intervals: dict[str, dict[str, tuple[float | None, float | None]]]

    def curves(self, wanted: Affordable) -> Curves:
        """What miners reach where so much is sent.

        Raises:
            ConfigError: the report does not say it.
        """
        if wanted.by_bytes:
            raise ConfigError(
                "--budget", "a report knows shares of the pictures alone: name the pictures instead of it"
            )
        key = f"{wanted.ratio:.2f}"
        told = sorted(set.intersection(*(set(figures) for figures in self.miners.values()))) if self.miners else []
        if key not in told or abs(float(key) - wanted.ratio) > 1e-6:
            known = ", ".join(f"{float(each):.0%}" for each in told) or "nothing"
            raise ConfigError(
                "--budget", f"it pays for {wanted}, but the report knows {known}: name the pictures instead"
            )
        return Curves({name: {wanted.ratio: self._figure(name, key)} for name in self.miners}, {}, {})

    def _figure(self, name: str, key: str) -> Figure:
        figure = self.miners[name][key]
        low, high = self.intervals.get(name, {}).get(key, (None, None))
        return Figure(
            float(key),
            _number(figure.map50),
            _number(figure.gap_recovered),
            figure.bytes,
            math.nan,
            (_number(low), _number(high)),
            self.thresholds.get(name, {}).get(key),
        )


def read_written(file: Path) -> Written:
    """Read a report.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    try:
        return Written.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigError(FIELD, f"{file} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        what = f"{at}: {first['msg']}" if at else first["msg"]
        raise ConfigError(FIELD, f"{file} is no report of `tandem evaluate --report` ({what})") from error


def _number(value: float | None) -> float:
    return math.nan if value is None else value
