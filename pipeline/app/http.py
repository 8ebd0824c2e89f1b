"""The HTTP server of ``--http``: three pages, for Prometheus and for probes."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog

from pipeline.errors import ConfigError

log = structlog.get_logger()

AT_ONCE: Final = 16
"""So many requests are answered at a time; who comes beyond that is turned away."""

PATIENCE_S: Final = 5.0
"""So long a client may take over its request and our answer together."""

CLOSES_S: Final = 0.1
"""So soon the server sees that it is to end, or that a client takes too long."""

TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page says now."""

    body: bytes
    content_type: str = TEXT
    status: HTTPStatus = HTTPStatus.OK


Page = Callable[[str], Answer]
"""Answers a request, by its Accept header, on a thread of its own."""


def serve(host: str, port: int, pages: Mapping[str, Page], closing: ExitStack) -> int:
    """Serve pages by their paths, on a thread of its own, until ``closing`` is closed.

    Returns:
        The port, which was free if ``port`` is 0.

    Raises:
        ConfigError: nobody may listen there, or somebody does already.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError("http.host", f"{host!r} is no address of this machine ({error}): 0.0.0.0 is all") from error
    try:
        server = _Server(family, address, pages)
    except OSError as error:
        remedy = "choose another port with --http, or stop what has this one"
        raise ConfigError("http.port", f"nobody can listen on {host}:{port} ({error.strerror}): {remedy}") from error
    closing.callback(server.close)
    server.start()
    bound: int = server.server_address[1]
    log.info("http_listening", host=host, port=bound)
    return bound


class _Server(ThreadingHTTPServer):
    allow_reuse_port = False
    request_queue_size = 4 * AT_ONCE

    def __init__(self, family: socket.AddressFamily, address: Any, pages: Mapping[str, Page]) -> None:
        self.address_family = family
        self.pages = pages
        self._until_s: dict[socket.socket, float] = {}
        self._thread = threading.Thread(target=self.serve_forever, args=(CLOSES_S,), name="http", daemon=True)
        super().__init__(address, _Handler)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def server_bind(self) -> None:
        """Without the look into DNS that ``HTTPServer`` takes for its own name."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if len(self._until_s) < AT_ONCE:
            self._until_s[request] = time.monotonic() + PATIENCE_S
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """However a request ends, it ends here."""
        super().shutdown_request(request)
        self._until_s.pop(request, None)

    def service_actions(self) -> None:
        """Give up clients that take too long, however little they say at a time; called every ``CLOSES_S``."""
        now_s = time.monotonic()
        for request, until_s in list(self._until_s.items()):
            if now_s >= until_s:
                with suppress(OSError):  # it is closed already
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the server's signature
        """A client that goes away in the middle is no event; anything else is a bug, but ends nothing else."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("http_request_failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "tandem"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            known = ", ".join(self.server.pages)
            self._say(Answer(f"there are {known}\n".encode(), status=HTTPStatus.NOT_FOUND))
        else:
            self._say(page(self.headers.get("Accept", "")))

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing: probes come every few seconds."""

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
