"""Cameras and servers of video that behave as badly as a test wants."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np

_EVERY_S: Final = 0.04
_HEAD: Final = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"


def _part(number: int) -> bytes:
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), number % 200, np.uint8))[1].tobytes()
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)


class MjpegCamera:
    """An HTTP camera on the loopback device, 25 frames a second to whoever connects.

    Attributes:
        port: where it listens, also after it was cut.
        viewers: how many connections have come.
    """

    def __init__(self) -> None:
        self.port = 0
        self.viewers = 0
        self._flows = threading.Event()
        self._over = threading.Event()
        self._server: socket.socket | None = None
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Its address, with user and password."""
        return f"http://guard:hunter2@127.0.0.1:{self.port}/cam"

    @property
    def name(self) -> str:
        """Its address as people may see it."""
        return f"http://127.0.0.1:{self.port}/cam"

    def start(self) -> None:
        """Listen, and send frames."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self.port = self._server.getsockname()[1]
        self._over = threading.Event()
        self._flows.set()
        self._thread(self._accept, self._server, self._over)

    def stall(self) -> None:
        """Send nothing more, and keep every connection open; new ones are accepted and hear nothing."""
        self._flows.clear()

    def flow(self) -> None:
        """Go on sending."""
        self._flows.set()

    def cut(self) -> None:
        """Close every connection, and refuse new ones."""
        self._over.set()
        self._flows.set()
        if self._server is not None:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
        self._server = None
        for thread in self._threads:
            thread.join(60)
        self._threads.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def _thread(self, act: object, *args: object) -> None:
        thread = threading.Thread(target=act, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, server: socket.socket, over: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while True:
                viewer, _ = server.accept()
                self.viewers += 1
                self._thread(self._serve, viewer, over)

    def _serve(self, viewer: socket.socket, over: threading.Event) -> None:
        with viewer, contextlib.suppress(OSError):
            self._flows.wait()
            viewer.sendall(_HEAD)
            number = 0
            while not over.wait(_EVERY_S):
                self._flows.wait()
                number += 1
                viewer.sendall(_part(number))


@contextmanager
def file_server(path: Path, breaks: list[int]) -> Iterator[str]:
    """Serve one file over HTTP, without ranges, and yield its URL; each of ``breaks`` breaks one answer off there."""
    data = path.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data[: breaks.pop(0) if breaks else None])

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{path.name}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


_GSTREAMER: Final = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
size = "video/x-raw,format=I420,width=160,height=120,framerate=10/1"
factory.set_launch(f"( videotestsrc is-live=true ! {size} ! jpegenc ! rtpjpegpay name=pay0 pt=26 )")
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
"""
_SYSTEM_PYTHON: Final = "/usr/bin/python3"  # where Debian's python3-gi is


class RtspServer:
    """GStreamer's RTSP server on the loopback device with a camera of 10 frames a second."""

    def __init__(self) -> None:
        self.port = 0
        self.process: subprocess.Popen[str] | None = None

    @staticmethod
    def missing() -> str:
        """Why there is none to be had, or empty."""
        tried = subprocess.run(
            [_SYSTEM_PYTHON, "-c", 'import gi; gi.require_version("GstRtspServer", "1.0")'],
            capture_output=True,
            check=False,
        )
        needed = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
        return f"needs an RTSP server: apt-get install {needed}" if tried.returncode else ""

    @property
    def url(self) -> str:
        """The camera's address, with user and password, which it does not ask for."""
        return f"rtsp://guard:hunter2@127.0.0.1:{self.port}/cam"

    def start(self) -> None:
        """Start it, on the same port as before."""
        command = [_SYSTEM_PYTHON, "-c", _GSTREAMER, str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None
