"""What a file of ``tandem mine fit`` says of itself: for which little model it is, and how hard pictures are for it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ConfigError
from stages.mining.features import VERSION

INPUT: Final = "features"
"""The ONNX model's input: (N, F) float32, see ``stages.mining.features``."""

METADATA: Final = "tandem_miner"
"""The key in the ONNX file's metadata under which ``Fitted`` stands as JSON."""

FIELD: Final = "miner.model"
"""Where a file is named in the config."""

FIT: Final = "tandem mine fit PICTURES -o FILE.onnx"
"""The command that makes one."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Little(BaseModel):
    """The little model whose boxes a file was fitted on.

    Attributes:
        name: of its file.
        sha256: of its file.
        floor: the score down to which its boxes were seen.
        iou: of its NMS.
        input_shape: height and width where they were set.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    floor: float
    iou: float
    input_shape: tuple[int, int] | None = None


class Fitted(BaseModel):
    """What a file says of itself.

    Attributes:
        features: the version of the row of numbers that it takes.
        classes: of the little model.
        little: the model that it belongs to.
        quantiles: (Q,) rising gains; the part i / (Q - 1) of the pictures has a smaller one, estimated for each picture
            by a regressor that was fitted without it.
        pictures: on so many it was fitted.
        pictures_sha256: of their names and sizes.
        changes: so many changed copies of each were fitted on too.
        labels: ``human``, or the name of the big model that stood in.
        seed: of the fit.
    """

    model_config = ConfigDict(frozen=True)

    features: int
    classes: tuple[str, ...]
    little: Little
    quantiles: tuple[Finite, ...] = Field(min_length=3)
    pictures: int
    pictures_sha256: str
    changes: int
    labels: str
    seed: int

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if any(after <= before for before, after in zip(self.quantiles, self.quantiles[1:], strict=False)):
            raise ValueError("quantiles do not rise")
        return self

    def rank(self, gain: float) -> float:
        """Which part of the pictures has a smaller gain, 0 to 1; it rises with the gain, beyond the ends too."""
        ends, levels = self.quantiles, len(self.quantiles) - 1
        after = bisect_right(ends, gain, 1, levels)
        before = ends[after - 1]
        if after == 1:
            return math.exp((gain - ends[1]) / (ends[1] - ends[0])) / levels
        if after == levels:
            return 1 - math.exp((before - gain) / (ends[-1] - before)) / levels
        return (after - 1 + (gain - before) / (ends[after] - before)) / levels


def fitted_of(path: Path, metadata: Mapping[str, str]) -> Fitted:
    """Read it from the metadata of an ONNX file.

    Raises:
        ConfigError: ``tandem mine fit`` did not write it, or that of another version.
    """
    text = metadata.get(METADATA)
    if text is None:
        raise ConfigError(FIELD, f"{path} is no file of `tandem mine fit`: name one, or make it with `{FIT}`")
    try:
        fitted = Fitted.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        raise ConfigError(FIELD, f"{path}: {METADATA} {at}: {first['msg']}; make it again with `{FIT}`") from error
    if fitted.features != VERSION:
        raise ConfigError(
            FIELD,
            f"{path} takes features of version {fitted.features}, and this Tandem has version {VERSION}: "
            f"make it again with `{FIT}`",
        )
    return fitted
