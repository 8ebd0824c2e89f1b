"""The image, built where podman and a base are, and run as a pod runs it.

``TANDEM_TEST_IMAGE`` names one that was built already, ``TANDEM_TEST_IMAGE_BASE`` another base than that of the
Containerfile. Nothing is pulled: without a base the test is skipped. Wheels are fetched by this machine's pip.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.manifests.rendered import OVERLAYS, containers, workloads

CONTAINERFILE = ROOT / "manifests/image/Containerfile"
BUILT = "localhost/tandem-test:built"
RESTRICTED = ("--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
LIMITS = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")


@cache
def podman() -> tuple[str, ...]:
    """How it is called on a machine without systemd or crun."""
    if shutil.which("podman") is None:
        pytest.skip("needs podman: apt-get install podman")
    systemd, crun = Path("/run/systemd/system").exists(), shutil.which("crun") is not None
    return ("podman", *(() if systemd else ("--cgroup-manager", "cgroupfs")), *(() if crun else ("--runtime", "runc")))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of what lies here."""
    ready = os.environ.get("TANDEM_TEST_IMAGE")
    if ready:
        podman()
        yield ready
        return
    (default,) = re.findall(r"^ARG BASE=(\S+)$", CONTAINERFILE.read_text(), re.MULTILINE)
    base = os.environ.get("TANDEM_TEST_IMAGE_BASE", default)
    if subprocess.run([*podman(), "image", "exists", base], check=False).returncode:
        pytest.skip(f"needs a base to build from: podman pull {base}, or TANDEM_TEST_IMAGE_BASE, or TANDEM_TEST_IMAGE")
    context = tmp_path_factory.mktemp("context")
    allowed = (ROOT / ".containerignore").read_text().split()
    for name in (line.removeprefix("!") for line in allowed if line.startswith("!")):
        source, target = ROOT / name, context / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)
    wheels = context / "manifests/image/wheels"
    for what in (("--require-hashes", "-r", "requirements.lock"), ("hatchling",)):
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "-d", str(wheels), *what]
        subprocess.run(fetch, cwd=context, check=True, capture_output=True)
    build = [*podman(), "build", "--network=host", "--pull=never", *LIMITS, "--build-arg", f"BASE={base}"]
    done = subprocess.run(
        [*build, "-f", CONTAINERFILE, "-t", BUILT, context], capture_output=True, text=True, check=False
    )
    shutil.rmtree(context)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    yield BUILT
    subprocess.run([*podman(), "image", "rm", "--force", BUILT], check=False, capture_output=True)


@pytest.mark.alone
def test_the_image_has_every_command_and_replays_a_clip_as_a_restricted_pod(image: str) -> None:
    commands = {container.get("command", ["tandem"])[0] for overlay in OVERLAYS for item in workloads(overlay).values() for container in containers(item)}  # fmt: skip  # noqa: E501
    assert commands == {"tandem", "mosquitto", "python", "sed"}
    script = "".join(f"command -v {name}\n" for name in (*sorted(commands), "mosquitto_sub"))
    script += "! command -v gcc\nid -u\nid -un\n"
    script += "python /etc/demo/clip.py demo.mp4 20\ntandem replay demo.mp4 --every 1 --out out\n"
    mounts = ("--tmpfs", "/tmp:rw,mode=1777", "-v", f"{ROOT}/manifests/components/demo:/etc/demo:ro")  # noqa: S108
    run = [*podman(), "run", "--rm", *RESTRICTED, *LIMITS, *mounts, "--entrypoint", "sh", image, "-euc", script]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n10001\ntandem\n" in done.stdout
    assert "balanced" in done.stdout
