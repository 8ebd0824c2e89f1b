"""Who may read and write what: a role's rules as Mosquitto's ACL, as pure functions.

Every user has a section of its own. Patterns (``%c``) hold for every user of a listener, whatever its role: they stand
in a file of their own, for a listener that only workers with a shared secret can log in to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from pipeline.model import process_name, stream_name
from pipeline.topics import ROOT, Kind, Topic

Name = Annotated[str, AfterValidator(stream_name)]
ProcessName = Annotated[str, AfterValidator(process_name)]

PUBLIC: Final = (Kind.RESULTS, Kind.STORED, Kind.STATE)
"""What a viewer reads of a stream; besides, it reads who is there."""


class Role(StrEnum):
    """What a user is there for."""

    EDGE = "edge"
    WORKER = "worker"
    VIEWER = "viewer"


class Access(StrEnum):
    """How a user shows who it is."""

    PASSWORD = "password"  # noqa: S105 - a word for it
    CERTIFICATE = "certificate"  # its CN is the user's name
    SHARED = "shared"  # a password that many workers have, told apart by their client ids


class User(BaseModel):
    """Somebody whom the broker knows.

    Attributes:
        streams: an edge's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ProcessName
    role: Role
    access: Access = Access.PASSWORD
    streams: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.streams) != (self.role is Role.EDGE):
            raise ValueError("an edge has streams of its own, and nobody else has: name them with --stream")
        if self.access is Access.SHARED and self.role is not Role.WORKER:
            raise ValueError("only workers may share a secret")
        return self


def acl(service: str, users: Iterable[User]) -> str:
    """The ACL of users who each have a password or certificate of their own."""
    return "\n".join(_sections(service, (user for user in users if user.access is not Access.SHARED)))


def shared_acl(service: str, users: Iterable[User]) -> str:
    """The ACL of a listener for workers that share a secret: each may do what a worker of its client id may.

    The names of users with a secret of their own are none of theirs.
    """
    known = list(users)
    lines = [f"pattern {access} {topic}" for access, topic in _named(service, "%c")]
    taken = [user.name for user in known if user.access is not Access.SHARED]
    for user in (user for user in known if user.access is Access.SHARED):
        lines += ["", f"user {user.name}", f"topic write {Topic(service, Kind.CLOUD_RESULTS, '+')}"]
        lines += [f"topic deny {topic}" for name in taken for _, topic in _named(service, name)]
    return "\n".join((*lines, ""))


def _sections(service: str, users: Iterable[User]) -> Iterator[str]:
    for user in users:
        yield f"user {user.name}"
        yield from (f"topic {access} {topic}" for access, topic in _rules(service, user))
        yield ""


def _rules(service: str, user: User) -> Iterator[tuple[str, str]]:
    match user.role:
        case Role.VIEWER:
            yield from (("read", str(Topic(service, kind, "+"))) for kind in PUBLIC)
            yield from (("read", str(Topic(service, kind, name="+"))) for kind in (Kind.WORKERS, Kind.STAGES))
        case Role.WORKER:
            yield "write", str(Topic(service, Kind.CLOUD_RESULTS, "+"))
            yield from _named(service, user.name)
        case Role.EDGE:
            yield from (("readwrite", f"{ROOT}/{service}/{stream}/#") for stream in user.streams)
            yield "read", str(Topic(service, Kind.WORKERS, name="+"))
            yield "read", str(Topic(service, Kind.STAGES, name="+"))
            yield "write", str(Topic(service, Kind.STAGES, name=user.name))


def _named(service: str, worker: str) -> Iterator[tuple[str, str]]:
    """What belongs to one worker alone."""
    yield "read", str(Topic(service, Kind.HARD, "+", worker))
    yield "write", str(Topic(service, Kind.WORKERS, name=worker))
    yield "write", str(Topic(service, Kind.STAGES, name=worker))
