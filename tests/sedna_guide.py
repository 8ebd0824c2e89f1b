"""The guide's example, as its users have it."""

from pathlib import Path
from typing import Final

GUIDE: Final = (Path(__file__).parent.parent / "manifests/examples/helmet-detection.yaml").read_text()
