"""What is wrong with a certificate, theirs or ours, is said in words that tell it from everything else."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from broker import connection
from broker.address import BrokerAddress
from broker.secure.authority import CERTIFICATE_VALID, Pair, client_pair, make_authority, server_pair
from tests.secured import refusal

pytestmark = pytest.mark.filterwarnings("ignore:.*unclosed <ssl.SSLSocket|.*<ssl.SSLSocket")
"""paho leaves a socket whose TLS handshake failed to the garbage collector."""

NOW = datetime.now(UTC)
LONG_AGO = NOW - CERTIFICATE_VALID - timedelta(days=1)
CA = make_authority("ours", LONG_AGO)
OTHER_CA = make_authority("theirs", NOW)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_TIMEOUT_S", 0.5)


def files(folder: Path, name: str, pair: Pair) -> tuple[Path, Path]:
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    for path, content in zip(paths, (pair.certificate, pair.key), strict=True):
        path.write_bytes(content)
    return paths


@contextmanager
def tls_server(folder: Path, pair: Pair, *, asks: bool = False) -> Iterator[int]:
    """Someone who takes one connection after the other, shakes hands, and sees what is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files(folder, "server", pair))
    if asks:
        context.load_verify_locations(cadata=CA.certificate.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    plain.settimeout(60)
                    with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as tls:
                        tls.recv(1000)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def reason(folder: Path, pair: Pair, ca: Pair = CA, host: str = "localhost") -> str:
    """Why there is no connection to a server with this certificate."""
    ca_file, _ = files(folder, "ca", ca)
    with tls_server(folder, pair) as port:
        return refusal(BrokerAddress.parse(f"mqtts://{host}:{port}", ca_file=ca_file))


@pytest.mark.parametrize(
    ("pair", "ca", "host", "said"),
    [
        (server_pair(CA, ["localhost"], NOW), OTHER_CA, "localhost", r"is not trusted \(.*: set broker\.ca_file"),
        (server_pair(CA, ["localhost"], LONG_AGO), CA, "localhost", "has expired: see to a new one on the broker"),
        (server_pair(CA, ["localhost"], NOW + timedelta(1)), CA, "localhost", "is not valid yet: set the clock"),
        (server_pair(CA, ["elsewhere"], NOW), CA, "localhost", r"is for another name \(Host.*in broker\.url"),
        (server_pair(CA, ["localhost"], NOW), CA, "127.0.0.1", r"is for another name \(IP.*in broker\.url"),
        (client_pair(CA, "localhost", NOW), CA, "localhost", "is not trusted .*purpose"),
    ],
)
def test_their_certificate(tmp_path: Path, pair: Pair, ca: Pair, host: str, said: str) -> None:
    assert re.search(said, reason(tmp_path, pair, ca, host))


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        (None, "asks for a certificate of ours: set broker.cert_file and broker.key_file"),
        (client_pair(OTHER_CA, "w1", NOW), "does not know who signed our certificate: set broker.cert_file to one"),
        (client_pair(CA, "w1", LONG_AGO), "says that our certificate has expired: get a new one"),
        (server_pair(CA, ["w1"], NOW), "refuses our certificate"),
    ],
)
def test_our_certificate(tmp_path: Path, ours: Pair | None, said: str) -> None:
    ca_file, _ = files(tmp_path, "ca", CA)
    cert_file, key_file = files(tmp_path, "client", ours) if ours else (None, None)
    with tls_server(tmp_path, server_pair(CA, ["localhost"], NOW), asks=True) as port:
        address = BrokerAddress.parse(
            f"mqtts://localhost:{port}", ca_file=ca_file, cert_file=cert_file, key_file=key_file
        )
        assert said in refusal(address)
