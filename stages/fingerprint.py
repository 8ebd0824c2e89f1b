"""A stream's fingerprint in a ledger: a hash of all that shapes its results, and behind it these settings by name.

The hash alone tells whether a run goes on with what there is; the settings tell people what differs. A ledger that an
earlier Tandem wrote has the hash without them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

_UNSET: Final = ("unset",)
_LONGEST: Final = 80  # of a value that is shown
_BEGIN: Final = 20  # of a longer one; the rest is its end, where a path has the file's name


def fingerprint_of(digest: str, settings: Mapping[str, Sequence[str]]) -> str:
    """The fingerprint as text.

    Args:
        digest: the hash, without a space in it.
        settings: each one's value for people, and behind it the hash of a file that is meant, if one is.
    """
    return f"{digest} {json.dumps(settings, sort_keys=True, ensure_ascii=False)}"


def same(one: str, other: str) -> bool:
    """Whether two fingerprints are of the same results."""
    return one.partition(" ")[0] == other.partition(" ")[0]


def refusal(path: object, stream: str, then: str, now: str, *, option: str = "--out (sink.out)") -> str:
    """Why a ledger does not go on with a stream whose fingerprint was another one, and what to do.

    ``option`` is what names the folder where it is.
    """
    differ = _differences(then, now)
    made = f"with other settings ({'; '.join(differ)})" if differ else "from another source, model, miner or config"
    return (
        f"the ledger {path} has a stream {stream!r} that was made {made}; "
        f"choose another {option}, or start over with --fresh (tandem run: --anew)"
    )


def _differences(then: str, now: str) -> list[str]:
    before, after = _settings(then), _settings(now)
    if not before or not after:
        return []
    names = [*after, *(name for name in before if name not in after)]
    pairs = {name: (before.get(name, _UNSET), after.get(name, _UNSET)) for name in names}
    return [
        f"{name}: {_shown(was)} then, {_shown(is_)} now" for name, (was, is_) in pairs.items() if was[-1] != is_[-1]
    ]


def _settings(fingerprint: str) -> dict[str, list[str]]:
    text = fingerprint.partition(" ")[2]
    settings: dict[str, list[str]] = json.loads(text) if text else {}
    return settings


def _shown(value: Sequence[str]) -> str:
    text = value[0] if len(value[0]) <= _LONGEST else f"{value[0][:_BEGIN]}...{value[0][_BEGIN - _LONGEST :]}"
    return f"{text} (sha256 {value[1][:8]}...)" if len(value) > 1 else text
