"""What it is that takes our connections and does not answer as a broker."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from broker.address import BrokerAddress

ANSWER_S: Final = 1.5

_REQUEST: Final = b"GET / HTTP/1.0\r\n\r\n"


def diagnose(address: BrokerAddress, waited_s: float) -> str:
    """Connect twice more, in other languages, and say what answers and what to do.

    Args:
        address: a server that accepted a connection and sent no CONNACK.
        waited_s: how long it was waited for.
    """
    if not address.tls and _speaks_tls(address):
        return f"{address} speaks TLS: write mqtts:// in broker.url"
    answer = b"" if address.tls else _answer(address)
    if answer is None:
        return (
            f"{address} accepts connections and says nothing within {waited_s:g} s: if it is a broker, it hangs or is "
            "overloaded, so see to it; else correct broker.url"
        )
    if answer.startswith(b"HTTP/"):
        return f"{address} is a web server and no MQTT broker: correct the port in broker.url"
    if answer:
        shown = answer[:20].decode("ascii", "replace").strip()
        return f"{address} is no MQTT broker (it says {shown!r}): correct the port in broker.url"
    return (
        f"{address} accepts connections and does not answer as an MQTT 5 broker within {waited_s:g} s: "
        "see its log, or correct broker.url"
    )


def _speaks_tls(address: BrokerAddress) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is told to it and nothing believed
    try:
        with (
            socket.create_connection((address.host, address.port), ANSWER_S) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except ssl.SSLError as error:
        # a server that wants our certificate speaks TLS as well
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _answer(address: BrokerAddress) -> bytes | None:
    """The beginning of what it says to a request of HTTP; None if it is silent, empty if it closes the connection."""
    try:
        with socket.create_connection((address.host, address.port), ANSWER_S) as server:
            server.sendall(_REQUEST)
            return server.recv(64)
    except TimeoutError:
        return None
    except OSError:
        return b""
