"""The image as a pod runs it: ``TANDEM_TEST_IMAGE`` names one that was built, since building takes minutes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.manifests.rendered import OVERLAYS, containers, workloads

RESTRICTED = ("--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
LIMITS = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")


@pytest.mark.alone
def test_the_image_has_every_command_and_replays_a_clip_as_a_restricted_pod() -> None:
    image = os.environ.get("TANDEM_TEST_IMAGE")
    if not image or shutil.which("podman") is None:
        pytest.skip("needs podman, and TANDEM_TEST_IMAGE with the name of an image built from manifests/image")
    podman = ["podman"]
    if not Path("/run/systemd/system").exists():
        podman += ["--cgroup-manager", "cgroupfs"]
    if shutil.which("crun") is None:
        podman += ["--runtime", "runc"]
    commands = {container.get("command", ["tandem"])[0] for overlay in OVERLAYS for item in workloads(overlay).values() for container in containers(item)}  # fmt: skip  # noqa: E501
    assert commands == {"tandem", "mosquitto", "python", "sed"}
    script = "".join(f"command -v {name}\n" for name in (*sorted(commands), "mosquitto_sub"))
    script += (
        "! command -v gcc\nid -u\npython /etc/demo/clip.py demo.mp4 20\ntandem replay demo.mp4 --every 1 --out out\n"
    )
    mounts = ("--tmpfs", "/tmp:rw,mode=1777", "-v", f"{ROOT}/manifests/components/demo:/etc/demo:ro")  # noqa: S108
    run = [*podman, "run", "--rm", *RESTRICTED, *LIMITS, *mounts, "--entrypoint", "sh", image, "-euc", script]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n10001\n" in done.stdout
    assert "balanced" in done.stdout
