"""The CPU limit, from cgroups as containers see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages import cpus
from stages.cpus import cpu_limit, threads_each


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: set(range(8)))


def limit(root: Path, own: str) -> float:
    group = root / "own"
    group.write_text(own)
    return cpu_limit(root, group)


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_v2_quota(tmp_path: Path) -> None:
    put(tmp_path, "cpu.max", "250000 100000\n")
    assert limit(tmp_path, "0::/\n") == 2.5


def test_v2_groups_around_bind_too(tmp_path: Path) -> None:
    put(tmp_path, "pod/cpu.max", "150000 100000\n")
    put(tmp_path, "pod/box/cpu.max", "max 100000\n")
    assert limit(tmp_path, "0::/pod/box\n") == 1.5


def test_v1_quota(tmp_path: Path) -> None:
    put(tmp_path, "cpu,cpuacct/cpu.cfs_quota_us", "300000\n")
    put(tmp_path, "cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    # The path is the host's, which the container does not have.
    assert limit(tmp_path, "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n") == 3


def test_v1_under_its_plain_name(tmp_path: Path) -> None:
    put(tmp_path, "cpu/a/cpu.cfs_quota_us", "50000\n")
    put(tmp_path, "cpu/a/cpu.cfs_period_us", "100000\n")
    assert limit(tmp_path, "1:cpu:/a\n") == 0.5


@pytest.mark.parametrize("text", ["max 100000\n", "", "nonsense\n", "0 0\n"])
def test_without_a_quota_affinity_counts(tmp_path: Path, text: str) -> None:
    put(tmp_path, "cpu.max", text)
    assert limit(tmp_path, "0::/\n") == 8


def test_v1_without_a_quota(tmp_path: Path) -> None:
    put(tmp_path, "cpu/cpu.cfs_quota_us", "-1\n")
    put(tmp_path, "cpu/cpu.cfs_period_us", "100000\n")
    assert limit(tmp_path, "1:cpu:/\n") == 8


def test_without_cgroups(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path, tmp_path / "absent") == 8


def test_no_way_out_of_the_mount(tmp_path: Path) -> None:
    put(tmp_path, "cpu.max", "100000 100000\n")
    mount = tmp_path / "mount"
    mount.mkdir()
    own = tmp_path / "own"
    own.write_text("0::/../x\n")
    assert cpu_limit(mount, own) == 8


def test_affinity_below_the_quota_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: {3})
    put(tmp_path, "cpu.max", "250000 100000\n")
    assert limit(tmp_path, "0::/\n") == 1


@pytest.mark.parametrize(
    ("sessions", "limit_cpus", "threads"), [(2, 2, 1), (1, 2, 2), (2, 0.5, 1), (2, 7.9, 3), (3, 2, 1), (1, 16, 16)]
)
def test_sessions_share_what_there_is(sessions: int, limit_cpus: float, threads: int) -> None:
    assert threads_each(sessions, limit_cpus) == threads
