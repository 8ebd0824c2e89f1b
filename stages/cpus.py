"""How many CPUs this process may use, and so how many threads an inference gets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUP: Final = Path("/proc/self/cgroup")


def threads_each(sessions: int, cpus: float | None = None) -> int:
    """The threads of one inference where ``sessions`` models share ``cpus`` (by default ``cpu_limit()``), at least 1.

    A thread more than there are CPUs slows all of them down, so what is left over stays idle.
    """
    return max(1, int((cpu_limit() if cpus is None else cpus) // sessions))


def cpu_limit(cgroups: Path = CGROUPS, own_group: Path = OWN_GROUP) -> float:
    """The CPUs that this process may use: the cgroup's quota (v2 or v1) or the CPU affinity, whichever is less.

    A container sees all CPUs of its host, and counting those would start too many threads.
    """
    return min([float(len(os.sched_getaffinity(0))), *_quotas(cgroups, own_group)])


def _quotas(cgroups: Path, own_group: Path) -> Iterator[float]:
    """Every quota that holds here: a group is also bound by those around it."""
    try:
        lines = own_group.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for folder in _upwards(cgroups, path):
                yield from _quota(folder / "cpu.max")
        elif "cpu" in controllers.split(","):
            mount = cgroups / controllers if (cgroups / controllers).is_dir() else cgroups / "cpu"
            for folder in _upwards(mount, path):
                yield from _quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us")


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those around it; inside a container the path may name folders of the host."""
    parts = PurePosixPath(path).parts[1:]
    for count in range(len(parts), -1, -1):
        if ".." not in parts[:count]:
            yield mount.joinpath(*parts[:count])


def _quota(*files: Path) -> Iterator[float]:
    """Quota over period; nothing where there is no such file or no limit (``max`` in v2, -1 in v1)."""
    try:
        quota, period = (int(number) for number in " ".join(file.read_text() for file in files).split())
    except (OSError, ValueError):
        return
    if quota > 0 and period > 0:
        yield quota / period
