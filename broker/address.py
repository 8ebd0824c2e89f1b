"""Where a broker is, and who we are to it."""

from __future__ import annotations

import os
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
        cert_file: our own certificate, where the broker asks for one (TLS only).
        key_file: its key; may be in ``cert_file`` as well.
    """

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def parse(
        cls,
        url: str,
        username: str | None = None,
        password: str | None = None,
        *,
        ca_file: Path | None = None,
        cert_file: Path | None = None,
        key_file: Path | None = None,
    ) -> BrokerAddress:
        """Read ``mqtt://[user@]host[:port]`` or ``mqtts://…``; a user given beside the URL wins.

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
        for setting, file in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
            if file is not None and not tls:
                raise ConfigError(f"broker.{setting}", "certificates are for TLS only: write mqtts:// in broker.url")
        if key_file is not None and cert_file is None:
            raise ConfigError("broker.cert_file", "a key needs its certificate: set it too")
        username = username or (unquote(parts.username) if parts.username else None)
        if password is not None and username is None:
            raise ConfigError("broker.username", "a password needs a username: set it too")
        assert parts.hostname is not None  # noqa: S101 - _check saw to it
        port = port or DEFAULT_PORTS[parts.scheme]
        return cls(parts.hostname, port, tls, username, password, ca_file, cert_file, key_file)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS checks the broker with and shows of us, or None without TLS.

        Raises:
            ConfigError: a file cannot be read, or does not hold what it should.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                "broker.ca_file", f"{self.ca_file}: {error}: name a readable PEM file with the CA's certificate"
            ) from error
        if self.cert_file is not None:
            _show(context, self.cert_file, self.key_file)
        return context


def _show(context: ssl.SSLContext, cert_file: Path, key_file: Path | None) -> None:
    """Load what we are known by; each of its files is looked at by itself, so that the wrong one is named."""
    for setting, file in (("cert_file", cert_file), ("key_file", key_file)):
        if file is not None and not os.access(file, os.R_OK):
            why = "cannot be read" if file.exists() else "does not exist"
            raise ConfigError(f"broker.{setting}", f"{file} {why}: name a PEM file that this user may read")
    try:
        # Without the last argument OpenSSL would ask on the terminal for the password of an encrypted key.
        context.load_cert_chain(cert_file, key_file, lambda: "")
    except (OSError, ssl.SSLError) as error:
        files = f"{cert_file} and {key_file}" if key_file else str(cert_file)
        raise ConfigError(
            "broker.cert_file",
            f"{files} do not go together ({error}): name a certificate and its key, both PEM, the key not encrypted",
        ) from error


def _check(url: str, parts: SplitResult, port: int | None) -> None:
    shown = _hidden(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise ConfigError("broker.url", f"{shown!r} does not begin with mqtt:// or mqtts://: {_RIGHT}")
    if not parts.hostname:
        raise ConfigError("broker.url", f"{shown!r} names no host: {_RIGHT}")
    if port == 0:
        raise ConfigError("broker.url", f"{shown!r} names port 0: use 1 to 65535, or leave it out for the default")
    if parts.password is not None:
        # It would be seen in lists of processes, in shells' histories, and in config files that people pass on.
        remedy = "put it into a file, and set broker.password_file"
        raise ConfigError("broker.url", f"{shown!r} has a password, which is not kept secret there: {remedy}")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigError("broker.url", f"{shown!r} goes on after the port: {_RIGHT}")


def _hidden(url: str) -> str:
    """The URL without what stands before ``@``: it may be a password."""
    scheme, found, rest = url.partition("://")
    return f"{scheme}{found}{rest.rpartition('@')[2]}"
