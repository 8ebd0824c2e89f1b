"""Learned: what the big model is expected to gain, by a regressor that was fitted on pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from pipeline.errors import DropMessage
from pipeline.model import Verdict
from stages.mining.features import features
from stages.mining.fitted import FIT, INPUT, Fitted, fitted_of
from stages.mining.miner import Miner, Share, View
from stages.models import LEARNED, miner_path
from stages.session import OnnxSession


@dataclass(frozen=True, slots=True)
class _File:
    """What is loaded."""

    path: Path
    session: OnnxSession
    fitted: Fitted


class Learned(Miner):
    """Hard if the big model is expected to gain more than on ``threshold`` of the pictures that it was fitted on.

    The gain is what the big model's answer adds to mAP50 over all pictures. Its estimate is turned into its rank among
    those pictures, so that a threshold is the part of frames like them that stays at the edge (both as in Qiu et al.,
    SEC 2024, arXiv:2410.18919). ``tandem mine fit`` writes the file; each belongs to one little model.
    """

    name: ClassVar[str] = "Learned"

    model: str = Field(LEARNED, description="a file of `tandem mine fit`, or learned: that of the shipped models")
    threshold: Share = Field(0.75, description="a frame is hard that has more to gain than this part of frames")

    @cached_property
    def _file(self) -> _File:
        path = miner_path(self.model)
        session = OnnxSession("miner", path)
        return _File(path, session, fitted_of(path, session.metadata))

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def fitted(self) -> Fitted:
        """What its file says of itself."""
        return self._file.fitted

    def model_post_init(self, context: Any, /) -> None:  # noqa: ARG002 - pydantic's
        """Load the file.

        Raises:
            ConfigError: it is not there, or was not written by ``tandem mine fit`` of this version.
        """
        _ = self._file

    def judge(self, view: View) -> Verdict:
        """Score: the rank of the expected gain, 0 to 1.

        Raises:
            DropMessage: there are boxes of classes that it was not fitted for.
        """
        file = self._file
        try:
            row = features(view, file.fitted.classes)
        except ValueError as error:
            raise DropMessage(
                f"{file.path.name} does not fit the edge's model: {error}; make one for it with `{FIT}`"
            ) from error
        gain = float(file.session.run({INPUT: row[None]})[0].item())
        score = file.fitted.rank(gain)
        hard = score >= self.threshold
        found = f"the big model is expected to gain more than on {score:.0%} of the pictures of {file.path.name}"
        against = f", {'at or above' if hard else 'below'} {self.threshold:.0%}"
        return self.verdict(hard=hard, score=score, threshold=self.threshold, found=found, against=against)
