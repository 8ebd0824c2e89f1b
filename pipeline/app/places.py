"""Where a run keeps what it makes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import ConfigError, TandemError
from stages.ledger_report import is_there, read_newest
from stages.outputs import OutputFolders


@dataclass(frozen=True, slots=True)
class Places:
    """The files and folders of one config.

    Attributes:
        pictures: each stream's folders.
        state: the folder of the ledger, the outbox and the logs.
        alone: the stream whose pictures lie in no folder of its own, if there is one.
    """

    pictures: dict[str, OutputFolders]
    state: Path
    alone: str | None

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

    @property
    def finished(self) -> Path:
        """What is known of a replay that is finished."""
        return self.state / "finished.json"

    def compare(self, stream: str) -> Path:
        """The side-by-side video of a stream."""
        return self.state / ("compare.webm" if stream == self.alone else f"compare-{stream}.webm")

    @classmethod
    def of(cls, config: Config) -> Places:
        """The places that a config asks for: all in ``sink.out``, or Sedna's three folders where they are named.

        A stream has a folder of its own where there are several, those of earlier runs with the same ledger included.
        One that began alone stays where it is when others come.

        Raises:
            ConfigError: a path is not UTF-8, two outputs would share a folder, or we may not look where the ledger is.
        """
        sink = config.sink
        for field in ("out", "all_examples", "hard_edge", "hard_cloud", "state_dir"):
            _check_text(f"sink.{field}", getattr(sink, field))
        named = sink.all_examples or sink.hard_edge or sink.hard_cloud
        state = sink.state_dir or (named.parent / ".tandem" if named else sink.out)
        together = OutputFolders(
            all=sink.all_examples or sink.out / "all",
            hard_edge=sink.hard_edge or sink.out / "hard_edge",
            hard_cloud=sink.hard_cloud or sink.out / "hard_cloud",
            dataset=(state if named or sink.state_dir else sink.out) / "dataset",
        )
        own = together.of if named or sink.state_dir else lambda stream: OutputFolders.under(sink.out / stream)
        alone = _alone(tuple(config.streams), state / "ledger.sqlite", together, own)
        return cls({name: together if name == alone else own(name) for name in config.streams}, state, alone)


def _alone(
    streams: Sequence[str], ledger: Path, together: OutputFolders, own: Callable[[str], OutputFolders]
) -> str | None:
    """The stream that has, or gets, no folder of its own."""
    newest: Mapping[str, int | None] = {}
    there = is_there(ledger)
    with contextlib.suppress(OSError, TandemError):  # who opens it to write says what is wrong with it
        newest = read_newest(ledger) if there else {}
    pictures = {name: f"{seq}.jpeg" for name, seq in newest.items() if seq}
    apart = {name for name, picture in pictures.items() if (own(name).all / picture).exists()}
    for name in (*streams, *pictures):  # a stream of another run may have pictures with the same numbers elsewhere
        if name in pictures and name not in apart and (together.all / pictures[name]).exists():
            return name
    names = {*newest, *streams}
    return names.pop() if len(names) == 1 and not apart else None


def _check_text(field: str, path: Path | None) -> None:
    """Refuse a path that results, ledger and OpenCV could not carry."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(field, f"{os.fsencode(str(path))!r} is not UTF-8: name another folder") from error
