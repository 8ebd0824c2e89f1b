"""Why a broker is not reached, in words that name the remedy."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from broker import tls_reasons
from broker.address import BrokerAddress

_BAD_PROTOCOL: Final = 132
_BAD_CLIENT_ID: Final = 133
_BAD_CREDENTIALS: Final = frozenset({134, 135})
_SHUTTING_DOWN: Final = 139
_KEEP_ALIVE: Final = 141
_TAKEN_OVER: Final = 142
_TOO_LARGE: Final = 149


def no_connection(address: BrokerAddress, error: BaseException, timeout_s: float) -> str:
    """Why there is no connection at all; ``error`` is what the socket or TLS said."""
    match error:
        case socket.gaierror():
            return f"the host {address.host!r} is not found: correct broker.url, or see to this machine's DNS"
        case ConnectionRefusedError():
            return f"{address} refuses connections: is a broker running there? Start it, or correct broker.url"
        case ssl.SSLCertVerificationError():
            return tls_reasons.not_trusted(address, error)
        case ssl.SSLError() | ConnectionResetError() | EOFError() if address.tls:
            return tls_reasons.failed(address, error)
        case TimeoutError():
            return f"{address} does not answer within {timeout_s:g} s: check broker.url, the network and its firewalls"
    return f"{address} is not reached ({error}): check broker.url and the network"


def silent(address: BrokerAddress) -> str:
    """Why a connection ended that was there."""
    return f"{address} fell silent: check the network between, and whether the broker hangs"


def refused(address: BrokerAddress, client_id: str, code: int, name: str) -> str:
    """Why the broker refused us: ``code`` and ``name`` are its CONNACK's (MQTT 5, 3.2.2.2)."""
    if code in _BAD_CREDENTIALS and address.username is None:
        return f"{address} takes no anonymous clients ({name}): set broker.username and broker.password_file"
    if code in _BAD_CREDENTIALS:
        who = f"the user {address.username!r}"
        remedy = "correct broker.username, or the password in broker.password_file, or allow it there"
        return f"{address} refuses {who} ({name}): {remedy}"
    if code == _BAD_PROTOCOL:
        return f"{address} does not speak MQTT 5 ({name}): use a broker that does, such as Mosquitto 2"
    if code == _BAD_CLIENT_ID:
        return f"{address} refuses the client id {client_id!r} ({name}): allow it on the broker"
    return f"{address} refuses the connection ({name}, code {code}): see the broker's log"


def disconnected(address: BrokerAddress, client_id: str, code: int, name: str) -> str:
    """Why a connection ended: ``code`` and ``name`` are those of DISCONNECT (MQTT 5, 3.14.2.1)."""
    if code == _TAKEN_OVER:
        return f"another client came to {address} as {client_id!r}: give each process a name of its own"
    if code == _SHUTTING_DOWN:
        return f"{address} is shutting down: waiting for it to come back"
    if code == _KEEP_ALIVE:
        return silent(address)
    if code == _TOO_LARGE:
        return f"{address} takes no packet as large as the last one: raise max_packet_size in mosquitto.conf"
    doubt = f"if this goes on, see whether another client calls itself {client_id!r}"  # Mosquitto 2.0 does not say
    return f"{address} has gone, or the connection to it broke ({name}): waiting for it to come back; {doubt}"
