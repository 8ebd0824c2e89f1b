"""Calls that are refused before anything starts: loading the command would be nearly all of their work."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.__main__ import main
from pipeline.config import without_settings
from tests.e2e.user import PATIENCE_S, Ran
from tests.forked import forked


def refused(folder: Path, *args: str | Path, env: Mapping[str, str] | None = None) -> Ran:
    """Run ``tandem`` in ``folder`` to its end, in a process forked from one that has loaded it.

    It has a working directory, an environment, arguments, outputs and an exit code of its own, as ``Tandem`` gives it.
    """
    told = [folder / ".stdout-refused.txt", folder / ".stderr-refused.txt"]
    process = forked().Process(target=_call, args=(folder, told, tuple(map(str, args)), dict(env or {})))
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode is not None, f"{args} has not ended"
    return Ran(process.exitcode, *(path.read_text() for path in told))


def _call(folder: Path, told: list[Path], args: tuple[str, ...], env: dict[str, str]) -> None:
    os.chdir(folder)
    environment = without_settings(os.environ) | env
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in zip((sys.stdout, sys.stderr), told, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    sys.argv = ["tandem", *args]
    main()
