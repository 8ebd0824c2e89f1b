"""The tools of these tests: who waits for a process that has died is told at once what that one said."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.e2e.user import PATIENCE_S, Listener, Tandem


def test_nobody_waits_for_a_process_that_has_died(tmp_path: Path) -> None:
    began_s = time.monotonic()
    with Tandem(tmp_path, sys.executable).start("-c", "raise SystemExit('no room')") as died:
        with pytest.raises(AssertionError, match=r"it ended with 1, and said:\nno room"):
            died.until(lambda: "stages_started" in died.stderr)
        with pytest.raises(AssertionError, match=r"it ended with 1, and said:\nno room"):
            Listener(0).state(lambda _: True, died)
    assert time.monotonic() - began_s < PATIENCE_S / 2


def test_what_a_process_sent_before_its_end_is_heard(tmp_path: Path) -> None:
    listener = Listener(0)
    with Tandem(tmp_path, sys.executable).start("-c", "") as ended:
        ended.ended()
        listener._lines.put(("tandem/t/gate/state", '{"status": "ended"}'))
        assert listener.state(lambda state: state["status"] == "ended", ended) == {"status": "ended"}
