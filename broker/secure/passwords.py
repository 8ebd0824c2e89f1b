"""Passwords, hashed by Mosquitto's own tool."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from pipeline.errors import ConfigError


def new_password() -> str:
    """A secret of 192 random bits."""
    return secrets.token_urlsafe(24)


def hashed(user: str, password: str) -> str:
    """The line of a password file. The password is in a file that we alone can read, never in a command line.

    Raises:
        ConfigError: mosquitto_passwd is not installed, or fails.
    """
    tool = shutil.which("mosquitto_passwd", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/bin")))
    if tool is None:
        raise ConfigError("mosquitto_passwd", "it is not installed: apt-get install mosquitto")
    with tempfile.TemporaryDirectory(prefix="tandem-password-") as folder:
        file = Path(folder) / "passwords"
        file.touch(mode=0o600)
        file.write_text(f"{user}:{password}\n")
        done = subprocess.run([tool, "-U", str(file)], capture_output=True, text=True, check=False)  # noqa: S603 - found by us
        line = file.read_text().strip()
    if done.returncode or line.partition(":")[2] == password or "\n" in line:
        raise ConfigError("mosquitto_passwd", f"{tool} -U does not hash: {done.stderr.strip() or 'it says nothing'}")
    return line
