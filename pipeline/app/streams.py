"""The streams of a command line, and how they are sampled."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import Config, StreamConfig
from pipeline.errors import ConfigError
from stages.sources.address import parse_source, stream_names


def streams_of(videos: Sequence[str]) -> dict[str, StreamConfig]:
    """A stream for each video, named after it.

    Raises:
        ConfigError: one is no source.
    """
    names = stream_names([parse_source(video) for video in videos])
    return {name: StreamConfig(source=video) for name, video in zip(names, videos, strict=True)}


def sampled(config: Config, every: int | None, fps: float | None) -> Config:
    """The config where ``--every`` or ``--fps``, which are in it, beat what else it says of sampling.

    Raises:
        ConfigError: both are given.
    """
    if every is None and fps is None:
        return config
    if every is not None and fps is not None:
        raise ConfigError("--every", "--fps says how many frames are taken too: name one of them")
    own = {"every": None, "fps": None}
    streams = {name: stream.model_copy(update=own) for name, stream in config.streams.items()}
    return config.model_copy(update={"streams": streams, "reader": config.reader.model_copy(update={"fps": fps})})
