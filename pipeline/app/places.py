"""Where a run keeps what it makes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import ConfigError
from stages.outputs import OutputFolders, layout


@dataclass(frozen=True, slots=True)
class Places:
    """The files and folders of one config.

    Attributes:
        pictures: each stream's folders.
        state: the folder of the ledger, the outbox and the logs.
    """

    pictures: dict[str, OutputFolders]
    state: Path

    @property
    def ledger(self) -> Path:
        """What became of every frame."""
        return self.state / "ledger.sqlite"

    @property
    def outbox(self) -> Path:
        """The hard frames that wait for their end."""
        return self.state / "outbox"

    @property
    def logs(self) -> Path:
        """What the processes of a replay said."""
        return self.state / "logs"

    def compare(self, stream: str) -> Path:
        """The side-by-side video of a stream."""
        return self.state / ("compare.webm" if len(self.pictures) == 1 else f"compare-{stream}.webm")

    @classmethod
    def of(cls, config: Config) -> Places:
        """The places that a config asks for: all in ``sink.out``, or Sedna's three folders where they are named.

        Raises:
            ConfigError: a path is not UTF-8, or two outputs would share a folder.
        """
        sink = config.sink
        for field in ("out", "all_examples", "hard_edge", "hard_cloud", "state_dir"):
            _check_text(f"sink.{field}", getattr(sink, field))
        named = sink.all_examples or sink.hard_edge or sink.hard_cloud
        state = sink.state_dir or (named.parent / ".tandem" if named else sink.out)
        folders = OutputFolders(
            all=sink.all_examples or sink.out / "all",
            hard_edge=sink.hard_edge or sink.out / "hard_edge",
            hard_cloud=sink.hard_cloud or sink.out / "hard_cloud",
            dataset=(state if named or sink.state_dir else sink.out) / "dataset",
        )
        return cls(layout(config.streams, sink.out, folders if named or sink.state_dir else None), state)


def _check_text(field: str, path: Path | None) -> None:
    """Refuse a path that results, ledger and OpenCV could not carry."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(field, f"{os.fsencode(str(path))!r} is not UTF-8: name another folder") from error
