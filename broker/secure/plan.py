"""What was asked for: one file from which a broker's config and ACL are made anew whenever a user comes or goes."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from broker.mosquitto import LIMITS, MAX_PACKET_BYTES
from broker.secure.roles import Access, Name, User
from pipeline.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
Port = Annotated[int, Field(ge=1, le=65535)]

_HEAD: Final = """\
# Made by `tandem broker`, which makes it anew when a user is added. Paths are relative: start Mosquitto in this folder.
per_listener_settings true
"""

_TLS: Final = """
listener {port}{bind}
certfile server.crt
keyfile server.key
tls_version tlsv1.2
allow_anonymous false
"""

_OWN_PASSWORDS: Final = """\
password_file passwords
acl_file acl
"""

_SHARED_PASSWORDS: Final = """\
password_file passwords-shared
acl_file acl-shared
"""

_CERTIFICATES: Final = """\
cafile ca.crt
require_certificate true
use_identity_as_username true
acl_file acl
"""

_ACCESS: Final = {
    Access.PASSWORD: _OWN_PASSWORDS,
    Access.CERTIFICATE: _CERTIFICATES,
    Access.SHARED: _SHARED_PASSWORDS,
}


class Plan(BaseModel):
    """A broker's addresses and users.

    Attributes:
        hosts: names and addresses that its certificate is for.
        reached_as: the one of them that clients are told.
        bind: the address it listens on; empty for all.
        ports: a listener for each way to log in; it is there when somebody uses it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: Name
    hosts: tuple[str, ...] = Field(min_length=1)
    reached_as: str
    bind: str = ""
    ports: dict[Access, Port]
    users: tuple[User, ...] = ()

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len(set(self.ports.values())) < len(self.ports):
            raise ValueError("each way to log in needs a port of its own")
        names = [user.name for user in self.users]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"there are several users {name!r}: each needs a name of its own")
        return self

    @property
    def listeners(self) -> dict[Access, int]:
        """The ports that are listened on; the one for passwords always."""
        used = {Access.PASSWORD, *(user.access for user in self.users)}
        return {access: port for access, port in self.ports.items() if access in used}

    def url(self, access: Access) -> str:
        """Where a client with this access connects."""
        host = f"[{self.reached_as}]" if ":" in self.reached_as else self.reached_as
        return f"mqtts://{host}:{self.ports[access]}"

    def config(self) -> str:
        """The text of mosquitto.conf."""
        bind = f" {self.bind}" if self.bind else ""
        listeners = "".join(
            _TLS.format(port=port, bind=bind) + _ACCESS[access] for access, port in self.listeners.items()
        )
        return _HEAD + LIMITS.format(max_packet_bytes=MAX_PACKET_BYTES) + listeners


def checked(kind: type[M], **settings: Any) -> M:
    """A plan or a user as somebody asked for it.

    Raises:
        ConfigError: it cannot be, and why.
    """
    try:
        return kind.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or kind.__name__.lower()
        raise ConfigError(field, first["msg"].removeprefix("Value error, ")) from error
