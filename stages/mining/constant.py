"""CloudOnly and EdgeOnly: every frame, or none, whatever is in it."""

from __future__ import annotations

from typing import ClassVar

from pipeline.model import Verdict
from stages.mining.miner import Miner, View


class CloudOnly(Miner):
    """Every frame is hard, also one without boxes."""

    name: ClassVar[str] = "CloudOnly"
    by_picture: ClassVar[bool] = True

    def judge(self, view: View) -> Verdict:  # noqa: ARG002 - it looks at nothing
        """Hard."""
        return Verdict(hard=True, miner=self.name, score=None, threshold=None, reason="every frame goes to the cloud")


class EdgeOnly(Miner):
    """No frame is hard."""

    name: ClassVar[str] = "EdgeOnly"
    by_picture: ClassVar[bool] = True
    audited: ClassVar[bool] = False  # who chooses it wants that nothing leaves the edge

    def judge(self, view: View) -> Verdict:  # noqa: ARG002 - it looks at nothing
        """Easy."""
        return Verdict(hard=False, miner=self.name, score=None, threshold=None, reason="no frame goes to the cloud")
