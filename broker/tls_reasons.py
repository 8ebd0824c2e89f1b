"""Why TLS with a broker failed, in words that name the remedy."""

from __future__ import annotations

import logging
import ssl
from typing import Final

from broker.address import BrokerAddress

_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})
"""What OpenSSL calls X509_V_ERR_…, for a host name and for an IP address."""

_REFUSED: Final = "refuses our certificate: set broker.cert_file to one that its CA has signed for clients"

_ALERTS: Final = {
    "CERTIFICATE_REQUIRED": "asks for a certificate of ours: set broker.cert_file and broker.key_file",
    "UNKNOWN_CA": "does not know who signed our certificate: set broker.cert_file to one that its CA has signed",
    "CERTIFICATE_EXPIRED": "says that our certificate has expired: get a new one, and set broker.cert_file to it",
    "CERTIFICATE_REVOKED": "says that our certificate is revoked: get a new one, and set broker.cert_file to it",
    "BAD_CERTIFICATE": _REFUSED,
    "UNSUPPORTED_CERTIFICATE": _REFUSED,
    "CERTIFICATE_UNKNOWN": _REFUSED,
}
"""What a broker says of our certificate (TLS 1.3, RFC 8446, 6.2)."""


class AlertLog(logging.Logger):
    """A log that writes nothing and keeps the last TLS alert: paho tells it to nobody else.

    With TLS 1.3 a client has connected before the broker has looked at its certificate, so no call fails.

    Attributes:
        alert: what the broker said.
    """

    def __init__(self) -> None:
        super().__init__("tandem.mqtt", logging.ERROR)
        self.alert: ssl.SSLError | None = None

    def handle(self, record: logging.LogRecord) -> None:
        """Keep the alert that a record has in it."""
        for value in record.args if isinstance(record.args, tuple) else ():
            if isinstance(value, ssl.SSLError) and "_ALERT_" in (value.reason or ""):
                self.alert = value


def not_trusted(address: BrokerAddress, error: ssl.SSLCertVerificationError) -> str:
    """Why we refuse the broker's certificate."""
    its = f"the certificate of {address}"
    why = error.verify_message.rstrip(".")
    if error.verify_code == _EXPIRED:
        return f"{its} has expired: see to a new one on the broker, or to this machine's clock"
    if error.verify_code == _NOT_YET_VALID:
        return f"{its} is not valid yet: set the clock of this machine, or that of the one that made it"
    if error.verify_code in _OTHER_NAME:
        return f"{its} is for another name ({why}): write one of its names in broker.url, or have this one put into it"
    return f"{its} is not trusted ({why}): set broker.ca_file to its CA's certificate"


def failed(address: BrokerAddress, error: BaseException) -> str:
    """Why there is no TLS with the broker, or why it refuses ours."""
    reason = str(getattr(error, "reason", None) or "")
    for alert, words in _ALERTS.items():
        if reason.endswith(f"ALERT_{alert}"):
            return f"{address} {words}"
    return f"TLS with {address} failed ({error}): a port without TLS is written mqtt://"
