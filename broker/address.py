"""Where a broker is, and who we are to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from pipeline.errors import ConfigError

DEFAULT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}

_RIGHT: Final = "write mqtt://HOST:PORT, or mqtts://HOST:PORT for TLS"


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """A broker's address and our credentials. Its text shows no secrets.

    Attributes:
        ca_file: certificates to trust instead of the system's (TLS only).
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    @classmethod
    def parse(
        cls, url: str, username: str | None = None, password: str | None = None, ca_file: Path | None = None
    ) -> BrokerAddress:
        """Read ``mqtt://[user[:password]@]host[:port]`` or ``mqtts://…``; credentials given beside the URL win.

        Raises:
            ConfigError: the URL is wrong, or a setting that it needs is.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError("broker.url", f"{_hidden(url)!r} is no URL ({error}): {_RIGHT}") from error
        _check(url, parts, port)
        tls = parts.scheme == "mqtts"
        if ca_file is not None and not tls:
            raise ConfigError("broker.ca_file", "certificates are for TLS only: write mqtts:// in broker.url")
        username = username or _decoded(parts.username)
        password = password or _decoded(parts.password)
        if password is not None and username is None:
            raise ConfigError("broker.username", "a password needs a username: set it too")
        assert parts.hostname is not None  # noqa: S101 - _check saw to it
        return cls(parts.hostname, port or DEFAULT_PORTS[parts.scheme], tls, username, password, ca_file)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS checks the broker with, or None without TLS.

        Raises:
            ConfigError: the CA file cannot be read, or has no certificate in it.
        """
        if not self.tls:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                "broker.ca_file", f"{self.ca_file}: {error}: name a readable PEM file with the CA's certificate"
            ) from error


def _check(url: str, parts: SplitResult, port: int | None) -> None:
    shown = _hidden(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ConfigError("broker.url", f"{shown!r} does not begin with mqtt:// or mqtts://: {_RIGHT}")
    if not parts.hostname:
        raise ConfigError("broker.url", f"{shown!r} names no host: {_RIGHT}")
    if port == 0:
        raise ConfigError("broker.url", f"{shown!r} names port 0: use 1 to 65535, or leave it out for the default")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigError("broker.url", f"{shown!r} goes on after the port: {_RIGHT}")


def _hidden(url: str) -> str:
    """The URL without what stands before ``@``: it may be a password."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text else None
