"""Why a server behind a URL is not reached, found out before FFmpeg is asked, which would not say."""

from __future__ import annotations

import socket
from typing import Final
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from pipeline.errors import SourceError

ANSWER_S: Final = 5.0
"""How long a server may take to accept a connection, and again to answer."""

_PORTS: Final = {"http": 80, "https": 443, "rtmp": 1935, "rtmps": 443, "rtsp": 554, "rtsps": 322}


def reach(location: str) -> None:
    """See that a server listens at a URL and, for RTSP, that it answers at all.

    What hangs here hangs outside OpenCV, which opens one video at a time in a process: nobody else has to wait for it.
    URLs of other schemes, and those that go through a proxy, are left to FFmpeg.

    Raises:
        SourceError: it is not there; the text says why in words that follow the source's name, with the remedy.
    """
    url = urlsplit(location)
    if url.scheme not in _PORTS or (url.scheme.startswith("http") and getproxies()):
        return
    try:
        port = url.port or _PORTS[url.scheme]
        with socket.create_connection((url.hostname or "", port), ANSWER_S) as server:
            if url.scheme == "rtsp":
                _ask(server, url)
    except OSError as error:
        raise SourceError(_explain(error)) from error


def _ask(server: socket.socket, url: SplitResult) -> None:
    """Any answer will do, a refusal too (RFC 2326, 10.1: every server knows OPTIONS)."""
    request = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
    server.sendall(f"OPTIONS {request} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
    if not server.recv(1):
        raise ConnectionResetError("it closed the connection")


def _explain(error: OSError) -> str:
    match error:
        case socket.gaierror():
            # It is not named: where a password is not escaped, it may be a part of that.
            return "is not found: there is no such host; correct the address, or see to this machine's DNS"
        case ConnectionRefusedError():
            return "refuses connections; check that it is on, and that the port is right"
        case TimeoutError():
            return f"does not answer within {ANSWER_S:g} s; check that it is on, and the network between"
    return f"is not reached ({error.strerror or error}); check that it is on, its address, and the network between"
