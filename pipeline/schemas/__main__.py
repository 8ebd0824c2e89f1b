"""Print the JSON Schema of results; ``--write FILE`` writes it to a file."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.schemas import result_schema_text

match sys.argv[1:]:
    case []:
        sys.stdout.write(result_schema_text())
    case ["--write", file]:
        Path(file).write_text(result_schema_text(), encoding="utf-8")
    case _:
        sys.exit("usage: scripts/schema [--write]")
