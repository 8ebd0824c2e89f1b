"""The pictures of a folder or a video, and what to call them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.app.evaluate.change import Change, drawn_change
from pipeline.app.fingerprint import source_identity
from pipeline.errors import ConfigError, DropMessage, SourceError
from stages.source import Ended, Picture, VideoSource, Wanted, every_frame
from stages.sources.address import SourceAddress, parse_source
from stages.sources.factory import make_source
from stages.sources.folder import FolderSource, pictures_in
from stages.sources.sampling import Every

FIELD = "IMAGES"


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Pictures that can be read again and again.

    Attributes:
        every: take every Nth.
        quality: the JPEG quality of those that are no JPEG files.
        video: whether these are the frames of a video, which have numbers instead of names.
        change: how they are changed, one of many ways drawn by this seed and their numbers; None for as they are.
    """

    address: SourceAddress
    every: int
    quality: int
    video: bool
    change: tuple[int, ...] | None = None

    @property
    def identity(self) -> object:
        """What tells this set apart from others, and from itself before it was changed."""
        as_it_is = source_identity(self.address, live=False), self.every, self.quality
        return as_it_is if self.change is None else (*as_it_is, self.change)

    @property
    def digest(self) -> str:
        """A hash of its identity, in hex."""
        return hashlib.sha256(json.dumps(self.identity).encode()).hexdigest()

    def source(self) -> VideoSource:
        """What reads it, not opened yet."""
        return make_source(self.address, Every(self.every), self.quality)

    def read(self) -> Iterator[Picture]:
        """Each picture that can be read, changed where that is asked for.

        Raises:
            SourceError: the source breaks off.
        """
        pictures = read_pictures(self.source())
        return pictures if self.change is None else self._changed(pictures)

    def change_of(self, seq: int, width: int, height: int) -> Change:
        """How a picture is changed."""
        return drawn_change((*(self.change or ()), seq), width, height)

    def _changed(self, pictures: Iterator[Picture]) -> Iterator[Picture]:
        for picture in pictures:
            change = self.change_of(picture.seq, picture.image.width, picture.image.height)
            try:
                yield replace(picture, image=change.picture(picture.image))
            except DropMessage:
                continue

    def file(self, seq: int) -> Path | None:
        """The file of a picture; None in a video."""
        return None if self.video else pictures_in(Path(self.address.location), self.address.name)[seq - 1]

    def names(self) -> list[str]:
        """The files' names, that of ``seq`` 1 first; empty for a video."""
        if self.video:
            return []
        return [path.name for path in pictures_in(Path(self.address.location), self.address.name)]


def picture_set(text: str, every: int | None, every_frame: int, quality: int) -> PictureSet:
    """The set that ``text`` names, a folder of pictures or a video.

    Args:
        text: a path or URL.
        every: take every Nth; if None every picture, or every Nth frame of a video as ``every_frame`` says.
        every_frame: see there.
        quality: of pictures that are no JPEG files.

    Raises:
        ConfigError: it is a camera, or cannot be read.
    """
    address = parse_source(text, FIELD)
    source = make_source(address, Every(1), quality)
    if source.live:
        raise ConfigError(FIELD, f"{address.name} has no end; name a folder of pictures or a video file")
    try:
        source.open()
    except SourceError as error:
        raise ConfigError(FIELD, str(error)) from error
    source.close()
    video = not isinstance(source, FolderSource)
    return PictureSet(address, every or (every_frame if video else 1), quality, video)


def read_pictures(source: VideoSource, wanted: Wanted = every_frame) -> Iterator[Picture]:
    """Each picture that can be read, of those that are ``wanted``.

    Raises:
        SourceError: the source breaks off.
    """
    source.open(wanted=wanted)
    try:
        while not isinstance(got := source.read(), Ended):
            if isinstance(got, Picture):
                yield got
    finally:
        source.close()
