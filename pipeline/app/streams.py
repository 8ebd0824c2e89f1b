"""The streams of a command line."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import StreamConfig
from stages.sources.address import parse_source, stream_names


def streams_of(videos: Sequence[str]) -> dict[str, StreamConfig]:
    """A stream for each video, named after it.

    Raises:
        ConfigError: one is no source.
    """
    names = stream_names([parse_source(video) for video in videos])
    return {name: StreamConfig(source=video) for name, video in zip(names, videos, strict=True)}
