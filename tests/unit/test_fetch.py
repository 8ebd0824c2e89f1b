"""What goes wrong where a model is fetched, told apart: the URL, the server, our disk."""

from __future__ import annotations

import errno
import http.client
import http.server
import io
import os
import threading
import urllib.request
from collections.abc import Callable
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from pipeline.app.fetch import fetch
from pipeline.errors import ConfigError, SourceError, StorageError

URL = "http://models.example/little.onnx"


class Answer(io.BytesIO):
    """Of a server that sends no length."""

    headers = Message()


class Broken(Answer):
    """It breaks off amid a chunk."""

    def read(self, _: int | None = -1, /) -> bytes:
        raise http.client.IncompleteRead(b"mod")


def answers(monkeypatch: pytest.MonkeyPatch, answer: Callable[[bytes], Answer]) -> None:
    monkeypatch.setattr(urllib.request.OpenerDirector, "open", lambda opener, url, timeout: answer(b"model"))


def test_what_comes_without_a_length_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, Answer)
    fetch(URL, tmp_path / "little.onnx")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"model"]


def test_an_answer_that_breaks_off_amid_a_chunk_is_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, Broken)
    with pytest.raises(SourceError, match="it broke off"):
        fetch(URL, tmp_path / "little.onnx")
    assert not list(tmp_path.iterdir())


class Wordy(Answer):
    """Of a server whose length is no number."""

    headers = Message()
    headers["Content-Length"] = "5, 5"


def test_a_length_that_is_no_number_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, Wordy)
    fetch(URL, tmp_path / "little.onnx")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"model"]


@pytest.mark.parametrize(
    ("onwards", "words"),
    [
        ("http://[::1/a.onnx", "Invalid IPv6 URL"),
        ("ftp://127.0.0.1:1/a.onnx", "the server sends us on by ftp; name an http or https URL"),
    ],
)
def test_a_server_that_sends_us_on_to_no_url_of_the_web_is_told(tmp_path: Path, onwards: str, words: str) -> None:
    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", onwards)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        with pytest.raises(ConfigError, match=words):
            fetch(f"http://127.0.0.1:{server.server_port}/a.onnx", tmp_path / "a.onnx")
        answering.join()


@pytest.mark.parametrize(
    "url",
    [
        *("http://models.example:many/a.onnx", "http://models.example/a b.onnx", f"{URL}/é"),
        *("http://[::1/a.onnx", "http:///a.onnx"),
    ],
)
def test_a_url_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError):
        fetch(url, tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hidden@127.0.0.1:1/a.onnx?sig=hidden",
        "http://me:hid/den@127.0.0.1:1/a.onnx",
        "http://me:hidden@127.0.0.1:1/a b.onnx?sig=hidden",
        "http://me:hidden@[::1/a.onnx?sig=hidden",
        "ftp://me:hidden@models.example/a.onnx#hidden",
    ],
)
def test_no_error_tells_a_secret(tmp_path: Path, url: str) -> None:
    with pytest.raises((ConfigError, SourceError)) as caught:
        fetch(url, tmp_path / "a.onnx")
    assert "hid" not in str(caught.value)
    assert "onnx" in str(caught.value)


def test_a_password_that_would_not_be_sent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="its user and password would not be sent"):
        fetch("https://me:hidden@models.example/a.onnx", tmp_path / "a.onnx")


def test_a_full_disk_is_not_the_servers_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any, /) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    answers(monkeypatch, Answer)
    monkeypatch.setattr(Path, "open", lambda *_: Full())
    with pytest.raises(StorageError, match=r"little\.onnx cannot be stored: No space left on device; make room"):
        fetch(URL, tmp_path / "little.onnx")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_its_place_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, Answer)
    (tmp_path / "models").mkdir()
    with pytest.raises(StorageError, match="models cannot be stored: Is a directory"):
        fetch(URL, tmp_path / "models")
