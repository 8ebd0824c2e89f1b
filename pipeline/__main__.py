"""The command ``tandem`` from its first moment on."""

from __future__ import annotations

import atexit
import gc
import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Load the commands, which takes a moment, and run one; a Ctrl-C in that moment ends it with 130, and no more."""
    atexit.register(gc.freeze)  # the interpreter's last collections would look at all that was loaded, for 0.2 s
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from pipeline import cli  # noqa: PLC0415 - the handler comes first

    signal.signal(signal.SIGINT, before)
    cli.main()


if __name__ == "__main__":
    main()
