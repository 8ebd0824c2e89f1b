"""How ``sink.keep`` is written."""

from __future__ import annotations

import pytest

from pipeline.config import validated
from pipeline.errors import ConfigError
from pipeline.keep import Limits

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("20 GiB", Limits(20 * GIB)),
        ("20GiB", Limits(20 * GIB)),
        ("1.5 MB", Limits(1_500_000)),
        ("7 days", Limits(age_s=7 * 86400)),
        ("1 day", Limits(age_s=86400)),
        ("36h", Limits(age_s=36 * 3600)),
        ("90 min", Limits(age_s=5400)),
        ("2 weeks", Limits(age_s=14 * 86400)),
        ("20 GiB, 7 days", Limits(20 * GIB, 7 * 86400)),
        ("0.5 s,1KiB", Limits(1024, 0.5)),
    ],
)
def test_bytes_an_age_or_both(text: str, limits: Limits) -> None:
    config = validated({"sink": {"keep": text}})
    assert config.sink.keep == limits
    assert validated(config.model_dump(mode="json")) == config
    assert validated(config.model_dump()) == config


def test_all_is_kept_unless_somebody_says_otherwise() -> None:
    assert validated({}).sink.keep is None
    assert validated({"sink": {"keep": None}}).sink.keep is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (20, "write bytes or an age, each with its unit"),
        ("20", "write bytes or an age, each with its unit"),
        ("", "write bytes or an age, each with its unit"),
        ("0 GiB", "write bytes or an age, each with its unit"),
        ("-1 day", "write bytes or an age, each with its unit"),
        ("7 moons", "'moons' is no unit of bytes or time"),
        ("20 GiB, 30 GiB", "'30 GiB' is one limit too many"),
        ("1 day, 2 weeks", "'2 weeks' is one limit too many"),
    ],
)
def test_what_is_no_limit_is_refused_with_an_example(text: object, error: str) -> None:
    with pytest.raises(ConfigError, match=rf'sink\.keep: {error}.*"20 GiB", "7 days"'):
        validated({"sink": {"keep": text}})
