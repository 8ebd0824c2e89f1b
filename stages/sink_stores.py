"""Where the sink keeps things: the ledger and the outputs, as it sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.gain import Gain
from pipeline.image import Image
from pipeline.messages import ReaderProgress, Result, Resume, UplinkProgress
from pipeline.model import Counts, FrameId, Tally, Verdict


@dataclass(frozen=True, slots=True)
class Kept:
    """What the ledger has of one frame.

    Attributes:
        revision: the last one that is stored.
        final: whether the frame has ended. One that was interrupted has not: its end may be on its way after all.
        edge_final: whether it ended with revision 1.
        edge_files: the folders that revision 1 has a file in; none once the pictures were removed.
        cloud_files: the same for revision 2.
    """

    revision: int
    final: bool
    edge_final: bool
    edge_files: tuple[str, ...]
    cloud_files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What one revision has on disk.

    Attributes:
        files: the folders that have a file of the frame now.
        size_bytes: what this revision has added, in blocks of the disk; two names of one file count once.
    """

    files: tuple[str, ...] = ()
    size_bytes: int = 0


class LedgerStore(Protocol):
    """Where the ledger is kept. Nothing is on disk before ``commit`` returns.

    Every method raises ``StorageError`` where the disk takes nothing; then ``rollback`` is called next.
    """

    def kept(self, frame: FrameId) -> Kept | None:
        """What is known of a frame, uncommitted rows too."""

    def add(self, result: Result, counts: Counts, written: Written) -> None:
        """Record revision 1 of a frame that has no row; ``counts`` are the reader's with this frame in them."""

    def end(self, result: Result, written: Written) -> None:
        """Record revision 2 of a frame whose row is not final."""

    def open(self, progress: ReaderProgress) -> Resume:
        """Where a reader goes on. The same incarnation may ask again."""

    def count(self, progress: ReaderProgress) -> None:
        """Keep a reader's counts, if they are newer. They may wait for a later commit."""

    def meet(self, progress: UplinkProgress) -> bool:
        """Learn which uplink this is, and what a new one has lost. Return whether it is new."""

    def recalled(self, stream: str) -> Sequence[tuple[int, Verdict]]:
        """The verdicts on a stream's newest frames, with what was remembered, and on those that are not final."""

    def tally(self, stream: str) -> Tally:
        """The newest counts, and the endings that are committed. Cheap."""

    def upload_bytes(self, stream: str) -> int:
        """What was sent to workers for the frames whose end is committed. Cheap."""

    def gain(self, stream: str) -> Gain:
        """What the edge misses and what the cloud corrects, by the frames that are committed."""

    def removed_frames(self, stream: str) -> int:
        """Of how many frames the pictures were removed, since only so much is kept. Cheap."""

    def commit(self) -> None:
        """Put all of it on disk."""

    def rollback(self) -> None:
        """Forget what is not committed."""


class OutputStore(Protocol):
    """Where pictures are kept. Each file appears whole or not at all; writing one again replaces it.

    ``edge`` and ``cloud`` raise ``StorageError`` where the disk takes
    nothing, and ``DropMessage`` where the picture cannot be decoded.
    """

    def edge(self, result: Result, image: Image) -> Written:
        """Write what revision 1 gives."""

    def cloud(self, result: Result, before: tuple[str, ...]) -> Written:
        """Write what revision 2 gives; ``before`` are the files of revision 1."""

    def paths(self, frame: FrameId, files: tuple[str, ...]) -> Mapping[str, str]:
        """The path of a frame's file in each folder."""
