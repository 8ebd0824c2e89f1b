"""The regressor, by scikit-learn, and its form as ONNX. Nothing else imports what the extra ``fit`` brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.errors import ConfigError
from stages.mining.fitted import INPUT

try:
    from onnx.helper import set_model_props
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
except ImportError as error:
    raise ConfigError(
        "tandem mine fit",
        f"{error.name} is missing: install the extra, in the project's folder with "
        "`.venv/bin/pip install --editable '.[fit]'`",
    ) from error

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
"""(N, F) the features of N pictures."""

_OPSET: Final = {"": 18, "ai.onnx.ml": 3}
_SHRINKAGE: Final = 2000.0
_TAIL: Final = 0.01


@dataclass(frozen=True, slots=True)
class Regressor:
    """What was fitted."""

    model: Any

    def estimates(self, rows: Rows) -> Floats:
        """(N,) the gains that are expected."""
        found: Floats = self.model.predict(rows)
        return found

    def onnx(self, metadata: Mapping[str, str]) -> bytes:
        """The same as an ONNX model: ``INPUT`` (N, F) float32, and (N, 1) float32 as the only output."""
        rows = FloatTensorType([None, self.model.n_features_in_])
        model = to_onnx(self.model, initial_types=[(INPUT, rows)], target_opset=_OPSET)
        set_model_props(model, dict(metadata))
        serialized: bytes = model.SerializeToString(deterministic=True)
        return serialized


def fitted(rows: Rows, gains: Floats, copies: int) -> Regressor:
    """Fit a ridge regression (Hoerl, Kennard, Technometrics 1970), much held back: gains are mostly chance.

    Gains in the outer tails are taken for those where they begin, since a few pictures would else decide. Extremely
    randomized trees recover as much of the gap on pictures that they were not fitted on, and the mean of both hardly
    more; but a frame would take half as long again.

    Args:
        rows: of all pictures.
        gains: (N,) theirs.
        copies: so often each picture is among them, changed or not. Copies are hardly new evidence, and do not count
            as such.
    """
    inner = np.clip(gains, *np.quantile(gains, (_TAIL, 1 - _TAIL)))
    model = make_pipeline(StandardScaler(), Ridge(_SHRINKAGE * copies))
    return Regressor(model.fit(rows, inner))
