"""What a client needs to log in: a folder of its own, to be taken to where the client runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.secure.authority import Pair
from broker.secure.plan import Plan
from broker.secure.roles import Access, Role, User

CONFIG: Final = "tandem.yaml"
VIEWER_CONFIG: Final = "mosquitto_sub"

_LOGIN: Final = """\
  username: {name}
  password_file: password
"""

_CERTIFICATE: Final = """\
  cert_file: client.crt
  key_file: client.key
"""

_SHARED: Final = """\
  client_id: process  # the ACL knows workers by it: each needs a process name of its own
"""


def client_files(plan: Plan, user: User, ca: bytes, secret: str | Pair) -> Mapping[str, tuple[bytes, bool]]:
    """The files of a client by name: their content, and whether it is secret.

    Args:
        plan: of the broker.
        user: who it is for.
        ca: the CA's certificate, PEM.
        secret: the user's password, or its certificate and key.
    """
    files = {"ca.crt": (ca, False)}
    if isinstance(secret, Pair):
        files |= {"client.crt": (secret.certificate, False), "client.key": (secret.key, True)}
    if user.role is Role.VIEWER:
        # mosquitto_sub takes a password from a command line, which everybody can see, or from such a file.
        files[VIEWER_CONFIG] = (_mosquitto_sub(plan, user, secret).encode(), True)
    if isinstance(secret, str):
        files["password"] = (f"{secret}\n".encode(), True)
    return files | {CONFIG: (_tandem(plan, user).encode(), False)}


def _tandem(plan: Plan, user: User) -> str:
    lines = f"service: {plan.service}\n"
    if user.access is not Access.SHARED:
        lines += f"process: {user.name}\n"
    lines += f"broker:\n  url: {plan.url(user.access)}\n  ca_file: ca.crt\n"
    lines += _CERTIFICATE if user.access is Access.CERTIFICATE else _LOGIN.format(name=user.name)
    return lines + (_SHARED if user.access is Access.SHARED else "")


def _mosquitto_sub(plan: Plan, user: User, secret: str | Pair) -> str:
    certificate = isinstance(secret, Pair)
    who = ["--cert client.crt", "--key client.key"] if certificate else [f"-u {user.name}", f"-P {secret}"]
    where = [f"-h {plan.reached_as}", f"-p {plan.ports[user.access]}", "--cafile ca.crt"]
    return "\n".join(("-V 5", "-q 1", *where, *who, ""))
