"""The miners by name, and how one is made from what people wrote."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Final, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from pipeline.errors import ConfigError
from stages.mining.band import UncertaintyBand
from stages.mining.blur import Blur
from stages.mining.by_chance import Random
from stages.mining.constant import CloudOnly, EdgeOnly
from stages.mining.cross_entropy import CrossEntropy
from stages.mining.difficult_case import DifficultCase
from stages.mining.empty_suspicious import EmptySuspicious
from stages.mining.entropy import Entropy
from stages.mining.flicker import Flicker
from stages.mining.ibt import IBT
from stages.mining.learned import Learned
from stages.mining.least_confidence import LeastConfidence
from stages.mining.margin import Margin
from stages.mining.miner import Miner
from stages.mining.motion import Motion
from stages.mining.threshold import Threshold

MINERS: Final[Mapping[str, type[Miner]]] = {
    "IBT": IBT,
    "Threshold": Threshold,
    "CrossEntropy": CrossEntropy,
    "LeastConfidence": LeastConfidence,
    "Margin": Margin,
    "Entropy": Entropy,
    "UncertaintyBand": UncertaintyBand,
    "DifficultCase": DifficultCase,
    "EmptySuspicious": EmptySuspicious,
    "Learned": Learned,
    "Random": Random,
    "CloudOnly": CloudOnly,
    "EdgeOnly": EdgeOnly,
    "Flicker": Flicker,
    "Blur": Blur,
    "Motion": Motion,
}
"""All miners by name: IBT to CrossEntropy, and Random to EdgeOnly, are called as in Sedna."""


def make_miner(name: str, parameters: Mapping[str, object], seed: int = 0) -> Miner:
    """The miner of this name with these parameters, the others at their defaults.

    Args:
        name: a key of ``MINERS``.
        parameters: its parameters; numbers may be strings, as Sedna hands them on.
        seed: for miners that draw, unless the parameters have a ``seed``.

    Raises:
        ConfigError: the name or a parameter is unknown, or a value is none that may be; the text says what may be.
    """
    kind = MINERS.get(name)
    if kind is None:
        raise ConfigError("miner.name", f"there is no miner {name!r}; {_closest(name, list(MINERS))}")
    defaults = {"seed": seed} if "seed" in kind.model_fields else {}
    try:
        return kind.model_validate({**defaults, **parameters})
    except ValidationError as error:
        raise _config_error(kind, error) from error


def check_first(miner: Miner) -> None:
    """See that a miner can judge before the edge's model has looked.

    Raises:
        ConfigError: it needs boxes.
    """
    if not miner.by_picture:
        able = ", ".join(name for name, kind in MINERS.items() if kind.by_picture)
        raise ConfigError(
            "miner.name",
            f"{miner.name} judges by boxes, and with miner.mode mining-then-inference there are none yet: "
            f"choose one of {able}, or the mode inference-then-mining",
        )


_LIMITS: Final = {"gt": "above", "ge": "from", "le": "to", "lt": "below"}
"""Pydantic's, in words, in the order in which they are said."""


def _config_error(kind: type[Miner], error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False)[0]
    known = list(kind.model_fields)
    if not first["loc"]:
        return ConfigError("miner", str(first["ctx"]["error"]))
    parameter = str(first["loc"][0])
    field = f"miner.{parameter}"
    if first["type"] == "extra_forbidden":
        remedy = _closest(parameter, known) if known else "it takes none"
        return ConfigError(field, f"{kind.name} has no parameter {parameter!r}; {remedy}")
    return ConfigError(field, f"{first['input']!r} is not {_expected(kind.model_fields[parameter])}")


def _expected(field: FieldInfo) -> str:
    """What a parameter takes, in words; the default is an example."""
    choices = get_args(field.annotation)
    if choices:
        return f"one of {', '.join(choices)}; the default is {field.default}"
    what = "a whole number" if field.annotation is int else "a number"
    limits = (
        f" {words} {getattr(rule, limit)}"
        for limit, words in _LIMITS.items()
        for rule in field.metadata
        if getattr(rule, limit, None) is not None
    )
    return f"{what}{''.join(limits)}; the default is {field.default}"


def _closest(wrong: str, known: Sequence[str]) -> str:
    """``did you mean`` the nearest one, and all that are known."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(wrong.lower(), by_lower, n=1)
    guess = f"did you mean {by_lower[near[0]]!r}? " if near else ""
    return f"{guess}known are {', '.join(known)}"
