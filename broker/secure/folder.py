"""The folder of a broker of one's own, with all that it needs and what its clients need.

::

    DIR/plan.json       what was asked for
    DIR/ca/             the authority: its certificate, and its key, which only `tandem broker` needs
    DIR/broker/         what Mosquitto reads, and nothing else
    DIR/clients/NAME/   what one client needs, to be taken to where it runs
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from broker.secure.authority import Pair, client_pair, make_authority, server_pair, valid_until
from broker.secure.clients import client_files
from broker.secure.passwords import hashed, new_password
from broker.secure.plan import Plan, checked
from broker.secure.roles import Access, User, acl, shared_acl
from pipeline.errors import ConfigError

RENEW_BEFORE: Final = timedelta(days=60)
"""So long before its end a server's certificate is made anew."""

_PASSWORD_FILES: Final = {Access.PASSWORD: "passwords", Access.SHARED: "passwords-shared"}


@dataclass(frozen=True, slots=True)
class BrokerFolder:
    """A broker's folder that is there. Every secret in it is in a file of mode 0600."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> BrokerFolder:
        """Take a folder that ``create`` has made.

        Raises:
            ConfigError: it is none.
        """
        folder = cls(path)
        folder.plan()
        return folder

    @classmethod
    def create(cls, path: Path, plan: Plan) -> BrokerFolder:
        """Make a folder with the plan's users: all of it, or nothing.

        Raises:
            ConfigError: there is something already, it cannot be written, or Mosquitto's tools are missing.
        """
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise ConfigError(
                str(path),
                "it is there already, and nothing is overwritten: name a new folder, or add users to this one",
            )
        part = path.with_name(f"{path.name}.part-{os.getpid()}")
        try:
            cls(part)._fill(plan)  # noqa: SLF001 - of this class
            part.rename(path)
        except OSError as error:
            raise ConfigError(str(path), f"it cannot be written ({error.strerror}): name another folder") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return cls(path)

    def plan(self) -> Plan:
        """What was asked for up to now.

        Raises:
            ConfigError: this is no folder of a broker.
        """
        try:
            return Plan.model_validate_json((self.path / "plan.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise ConfigError(
                str(self.path), "it is no folder that `tandem broker init` made, or not ours to read"
            ) from error

    def client(self, name: str) -> Path:
        """Where the files of a client are."""
        return self.path / "clients" / name

    def add(self, user: User) -> None:
        """Let a user in.

        Raises:
            ConfigError: there is one of that name, or Mosquitto's tools are missing.
        """
        before = self.plan()
        if user.name in (known.name for known in before.users):
            raise ConfigError("NAME", f"there is a user {user.name!r} already: choose another name, or remove it first")
        plan = checked(Plan, **dict(before) | {"users": (*before.users, user)})
        self._write_client(plan, user)
        self._write_plan(plan)

    def remove(self, name: str) -> None:
        """Let a user in no more: its password goes, and so does all that the ACL allowed it.

        Raises:
            ConfigError: there is no such user.
        """
        before = self.plan()
        users = tuple(user for user in before.users if user.name != name)
        if len(users) == len(before.users):
            known = ", ".join(user.name for user in before.users) or "nobody"
            raise ConfigError("NAME", f"there is no user {name!r}: known are {known}")
        for file in _PASSWORD_FILES.values():
            self._write_lines(file, self._lines_of_others(file, name))
        self._write_plan(before.model_copy(update={"users": users}))
        shutil.rmtree(self.client(name), ignore_errors=True)

    def renew(self, now: datetime) -> bool:
        """Make the server's certificate anew where its end is near, and return whether that was done.

        Raises:
            ConfigError: its end is near, and the CA's key is not here.
        """
        end = valid_until((self.path / "broker/server.crt").read_bytes())
        if now < end - RENEW_BEFORE:
            return False
        try:
            self._write_server(self.plan(), self._authority(), now)
        except OSError as error:
            raise ConfigError(
                str(self.path / "ca"), f"the broker's certificate ends on {end:%Y-%m-%d}, and the CA's key that "
                f"would sign a new one cannot be read ({error.strerror}): put it back for this start"
            ) from error  # fmt: skip
        return True

    def hand_over(self) -> None:
        """Give what Mosquitto reads to the user that it becomes where root starts it."""
        user = mosquitto_user()
        if user is not None:
            for file in (self.path / "broker", *(self.path / "broker").iterdir()):
                os.chown(file, user.pw_uid, user.pw_gid)

    def _fill(self, plan: Plan) -> None:
        now = datetime.now(UTC)
        self.path.mkdir(parents=True)
        for name in ("ca", "broker", "clients"):
            (self.path / name).mkdir(mode=0o700)
        authority = make_authority(f"Tandem {plan.service} on {plan.reached_as}", now)
        self._write("ca/ca.crt", authority.certificate, secret=False)
        self._write("ca/ca.key", authority.key)
        self._write("broker/ca.crt", authority.certificate, secret=False)
        self._write_server(plan, authority, now)
        for file in _PASSWORD_FILES.values():
            self._write(f"broker/{file}", "")
        for user in plan.users:
            self._write_client(plan, user)
        self._write_plan(plan)

    def _authority(self) -> Pair:
        return Pair((self.path / "ca/ca.crt").read_bytes(), (self.path / "ca/ca.key").read_bytes())

    def _write_server(self, plan: Plan, authority: Pair, now: datetime) -> None:
        pair = server_pair(authority, plan.hosts, now)
        self._write("broker/server.key", pair.key)
        self._write("broker/server.crt", pair.certificate, secret=False)

    def _write_client(self, plan: Plan, user: User) -> None:
        secret: str | Pair
        if user.access is Access.CERTIFICATE:
            secret = client_pair(self._authority(), user.name, datetime.now(UTC))
        else:
            secret = new_password()
            file = _PASSWORD_FILES[user.access]
            # There may be a line of an `add` that was killed before the plan was written.
            self._write_lines(file, [*self._lines_of_others(file, user.name), hashed(user.name, secret)])
        self.client(user.name).mkdir(mode=0o700, exist_ok=True)
        ca = (self.path / "ca/ca.crt").read_bytes()
        for name, (content, is_secret) in client_files(plan, user, ca, secret).items():
            self._write(f"clients/{user.name}/{name}", content, secret=is_secret)

    def _write_plan(self, plan: Plan) -> None:
        self._write("broker/acl", acl(plan.service, plan.users))
        self._write("broker/acl-shared", shared_acl(plan.service, plan.users))
        self._write("broker/mosquitto.conf", plan.config(), secret=False)
        self._write("plan.json", plan.model_dump_json(indent=2) + "\n", secret=False)
        self.hand_over()

    def _lines_of_others(self, file: str, name: str) -> list[str]:
        lines = (self.path / "broker" / file).read_text().splitlines()
        return [line for line in lines if line.partition(":")[0] != name]

    def _write_lines(self, file: str, lines: list[str]) -> None:
        self._write(f"broker/{file}", "".join(f"{line}\n" for line in lines))

    def _write(self, name: str, content: str | bytes, *, secret: bool = True) -> None:
        """Write a file whole or not at all; a secret one is never readable by others, not for a moment."""
        path = self.path / name
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        mode = 0o600 if secret else 0o644
        opener: Callable[[str, int], int] = lambda file, flags: os.open(file, flags, mode)  # noqa: E731
        with open(part, "xb", opener=opener) as file:
            file.write(content.encode() if isinstance(content, str) else content)
        part.rename(path)


def mosquitto_user() -> pwd.struct_passwd | None:
    """The user that Mosquitto becomes; None where it stays who we are."""
    if os.geteuid() != 0:
        return None
    for name in ("mosquitto", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
