"""From an address to the source that reads it."""

from __future__ import annotations

from pathlib import Path

from stages.source import VideoSource
from stages.sources.address import SourceAddress, SourceKind
from stages.sources.capture import Remote, open_camera
from stages.sources.file import FileSource
from stages.sources.folder import FolderSource
from stages.sources.live import LiveSource
from stages.sources.remote import RemoteFile
from stages.sources.sampling import Sampling


def make_source(address: SourceAddress, sampling: Sampling, quality: int = 90) -> VideoSource:
    """The source at ``address``, not opened yet.

    A local path that is not there yet becomes a folder of pictures if it has no suffix, and a file otherwise.

    Args:
        address: where it is.
        sampling: which frames become pictures.
        quality: the JPEG quality (1 to 100) of pictures that must leave this process.
    """
    location, name = address.location, address.name
    if address.kind is SourceKind.CAMERA_INDEX:
        return LiveSource(lambda: open_camera(int(location)), sampling, name=name, quality=quality)
    if address.kind is SourceKind.CAMERA_URL:
        return LiveSource(Remote(location), sampling, name=name, quality=quality)
    if address.kind is SourceKind.REMOTE_FILE:
        connect = Remote(location)
        return RemoteFile(
            lambda breaks: FileSource(
                location, sampling, name=name, quality=quality, connect=lambda _: connect(), breaks=breaks
            ),
            name,
        )
    path = Path(location)
    is_folder = path.is_dir() or not (path.exists() or path.suffix)
    if is_folder:
        return FolderSource(location, sampling, name=name, quality=quality)
    return FileSource(location, sampling, name=name, quality=quality)


def check_source(source: VideoSource) -> int | None:
    """See that a source can be opened, where that is soon known. A camera may come later, so none is tried.

    Returns:
        How many frames it says that it has, or None.

    Raises:
        SourceError: it cannot be opened; the text names it and the remedy.
    """
    if source.live:
        return None
    if isinstance(source, RemoteFile):
        return source.look()
    source.open()
    length = source.length
    source.close()
    return length
