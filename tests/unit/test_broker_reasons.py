"""Every reason names the remedy."""

from __future__ import annotations

import socket
import ssl

import pytest

from broker import reasons
from broker.address import BrokerAddress

PLAIN = BrokerAddress("host", 1883)
NAMED = BrokerAddress("host", 1883, username="edge", password="hush")  # noqa: S106 - of nobody
TLS = BrokerAddress("host", 8883, tls=True)


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        (PLAIN, ConnectionRefusedError(), "mqtt://host:1883 refuses connections: is a broker running there?"),
        (PLAIN, socket.gaierror(), "the host 'host' is not found: correct broker.url"),
        (PLAIN, TimeoutError(), "does not answer within 5 s: check broker.url, the network"),
        (PLAIN, OSError("No route to host"), "not reached (No route to host): check broker.url"),
        (TLS, ssl.SSLError("wrong version"), "TLS with mqtts://host:8883 failed (('wrong version',)): a port without"),
        (TLS, ConnectionResetError(104, "reset"), "TLS with mqtts://host:8883 failed"),
    ],
)
def test_no_connection(address: BrokerAddress, error: BaseException, said: str) -> None:
    assert said in reasons.no_connection(address, error, 5.0)


@pytest.mark.parametrize(
    ("address", "code", "said"),
    [
        (PLAIN, 135, "takes no anonymous clients (why): set broker.username and broker.password_file"),
        (NAMED, 134, "refuses the user 'edge' (why): correct broker.username, or the password in broker.password_file"),
        (NAMED, 135, "refuses the user 'edge' (why): correct broker.username, or the password in broker.password_file"),
        (PLAIN, 132, "does not speak MQTT 5 (why): use a broker that does"),
        (PLAIN, 133, "refuses the client id 'me' (why)"),
        (PLAIN, 137, "refuses the connection (why, code 137): see the broker's log"),
    ],
)
def test_refused(address: BrokerAddress, code: int, said: str) -> None:
    text = reasons.refused(address, "me", code, "why")
    assert said in text
    assert "hush" not in text


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (142, "another client came to mqtt://host:1883 as 'me': give each process a name of its own"),
        (139, "is shutting down: waiting for it to come back"),
        (141, "fell silent: check the network"),
        (149, "raise max_packet_size"),
        (
            128,
            "mqtt://host:1883 has gone, or the connection to it broke (why): waiting for it to come back; if",
        ),
    ],
)
def test_disconnected(code: int, said: str) -> None:
    assert said in reasons.disconnected(PLAIN, "me", code, "why")
