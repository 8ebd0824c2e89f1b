"""The CA and what it signs: read back with the same library, used for real in tests/integration/test_acl.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from broker.secure.authority import client_pair, make_authority, server_pair, valid_until
from pipeline.errors import ConfigError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CA = make_authority("Tandem helmet", NOW)
AUTHORITY = x509.load_pem_x509_certificate(CA.certificate)


def server(*hosts: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(server_pair(CA, hosts, NOW).certificate)


def test_the_authority_signs_servers_and_clients_but_no_authority() -> None:
    constraints = AUTHORITY.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert AUTHORITY.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    AUTHORITY.verify_directly_issued_by(AUTHORITY)


def test_a_server_is_known_by_all_of_its_names() -> None:
    certificate = server("broker.example", "127.0.0.1", "::1")
    certificate.verify_directly_issued_by(AUTHORITY)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["broker.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]


def test_a_client_is_no_server_and_nobody_signs_with_it() -> None:
    certificate = x509.load_pem_x509_certificate(client_pair(CA, "worker-1", NOW).certificate)
    certificate.verify_directly_issued_by(AUTHORITY)
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "worker-1"


def test_certificates_are_valid_from_before_now_since_clocks_differ() -> None:
    certificate = server("localhost")
    assert NOW - timedelta(hours=2) < certificate.not_valid_before_utc < NOW
    assert timedelta(days=365) < valid_until(server_pair(CA, ["localhost"], NOW).certificate) - NOW
    assert certificate.not_valid_after_utc < AUTHORITY.not_valid_after_utc


def test_keys_are_not_shown() -> None:
    assert "PRIVATE" in CA.key.decode()
    assert "PRIVATE" not in repr(CA)


@pytest.mark.parametrize("host", ["bröker", "host:8883", "two hosts", "a\nb", ""])
def test_a_name_that_no_certificate_can_have_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"--host: .* is no host name: write it as DNS has it"):
        server(host)
