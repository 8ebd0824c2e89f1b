"""Where a broker is: what is understood, and what is said of the rest."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from broker.address import BrokerAddress
from broker.secure.authority import client_pair, make_authority
from pipeline.errors import ConfigError

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://localhost:1884", "localhost", 1884, False),
        ("mqtt://broker.example", "broker.example", 1883, False),
        ("mqtt://10.0.0.7/", "10.0.0.7", 1883, False),
        ("mqtts://broker.example", "broker.example", 8883, True),
        ("mqtts://[::1]:9883", "::1", 9883, True),
    ],
)
def test_url(url: str, host: str, port: int, tls: bool) -> None:  # noqa: FBT001 - a table of cases
    address = BrokerAddress.parse(url)
    assert (address.host, address.port, address.tls) == (host, port, tls)


def test_a_user_in_the_url_is_decoded() -> None:
    assert BrokerAddress.parse("mqtt://ed%40ge@broker").username == "ed@ge"


def test_credentials_beside_the_url_win() -> None:
    address = BrokerAddress.parse("mqtt://a@broker", username="edge", password="other")  # noqa: S106 - of nobody
    assert (address.username, address.password) == ("edge", "other")


def test_text_and_repr_show_no_secrets() -> None:
    address = BrokerAddress.parse("mqtts://edge@[::1]:9883", password="hush")  # noqa: S106 - of nobody
    assert str(address) == "mqtts://[::1]:9883"
    assert "hush" not in repr(address)


@pytest.mark.parametrize("url", ["mqtt://edge:hush@host", "mqtts://:hush@host:8883", "mqtt://edge:@host"])
def test_a_password_in_the_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"broker\.url: .*put it into a file, and set broker\.password_file"
    ) as caught:
        BrokerAddress.parse(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:1883", "does not begin with mqtt:// or mqtts://: write mqtt://HOST:PORT"),
        ("localhost", "does not begin with mqtt://"),
        ("http://localhost", "does not begin with mqtt://"),
        ("", "does not begin with mqtt://"),
        ("mqtt://", "names no host: write mqtt://HOST:PORT"),
        ("mqtt://:1883", "names no host"),
        ("mqtt://host:0", "names port 0: use 1 to 65535"),
        ("mqtt://host:65536", "Port out of range 0-65535): write mqtt://HOST:PORT"),
        ("mqtt://host:abc", "is no URL"),
        ("mqtt://[::1", "is no URL"),
        ("mqtt://host:1883/topic", "goes on after the port"),
        ("mqtt://host:1883?tls=1", "goes on after the port"),
    ],
)
def test_wrong_url_names_the_field_and_the_right_form(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BrokerAddress.parse(url)
    assert caught.value.field == "broker.url"
    assert said in str(caught.value)


@pytest.mark.parametrize("url", ["http://edge:hush@host", "mqtt://edge:hush@host:x", "mqtt://edge:hush@host/x"])
def test_an_error_shows_no_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BrokerAddress.parse(url)
    assert "hush" not in str(caught.value)


def test_a_password_needs_a_username() -> None:
    with pytest.raises(ConfigError, match=r"broker\.username: a password needs a username"):
        BrokerAddress.parse("mqtt://host", password="x")  # noqa: S106 - of nobody


@pytest.mark.parametrize("setting", ["ca_file", "cert_file", "key_file"])
def test_certificates_without_tls_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"broker\.{setting}: .*write mqtts://"):
        BrokerAddress.parse("mqtt://host", **{setting: Path("file.pem")})


def test_a_key_needs_its_certificate() -> None:
    with pytest.raises(ConfigError, match=r"broker\.cert_file: a key needs its certificate"):
        BrokerAddress.parse("mqtts://host", key_file=Path("client.key"))


def test_no_tls_no_context() -> None:
    assert BrokerAddress.parse("mqtt://host").tls_context() is None


def test_tls_checks_the_host_by_default() -> None:
    context = BrokerAddress.parse("mqtts://host").tls_context()
    assert context is not None
    assert context.check_hostname


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"broker\.ca_file: .*ca\.pem.*name a readable PEM file"):
        BrokerAddress.parse("mqtts://host", ca_file=missing).tls_context()


def test_a_ca_file_without_certificates_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"broker\.ca_file: .*ca\.pem.*name a readable PEM file"):
        BrokerAddress.parse("mqtts://host", ca_file=empty).tls_context()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A client's certificate and its key."""
    made = client_pair(make_authority("ca", NOW), "worker", NOW)
    files = tmp_path / "client.crt", tmp_path / "client.key"
    for file, content in zip(files, (made.certificate, made.key), strict=True):
        file.write_bytes(content)
    return files


def test_our_certificate_is_loaded(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    assert BrokerAddress.parse("mqtts://host", cert_file=certificate, key_file=key).tls_context() is not None


def test_a_missing_certificate_or_key_is_named(pair: tuple[Path, Path]) -> None:
    for gone, setting in zip(reversed(pair), ("key_file", "cert_file"), strict=True):
        gone.unlink()
        with pytest.raises(ConfigError, match=rf"broker\.{setting}: .*{gone.name} does not exist: name a PEM file"):
            BrokerAddress.parse("mqtts://host", cert_file=pair[0], key_file=pair[1]).tls_context()


def test_a_key_of_another_certificate_is_named(pair: tuple[Path, Path]) -> None:
    pair[1].write_bytes(make_authority("other", NOW).key)
    with pytest.raises(ConfigError, match=r"broker\.cert_file: .*client\.key do not go together"):
        BrokerAddress.parse("mqtts://host", cert_file=pair[0], key_file=pair[1]).tls_context()


def test_nobody_is_asked_for_the_password_of_an_encrypted_key(pair: tuple[Path, Path]) -> None:
    key = serialization.load_pem_private_key(pair[1].read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"hush")
    pair[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    with pytest.raises(ConfigError, match=r"broker\.cert_file: .*the key not encrypted"):
        BrokerAddress.parse("mqtts://host", cert_file=pair[0], key_file=pair[1]).tls_context()
