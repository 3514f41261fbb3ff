from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.host import limits

V2 = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def host(root: Path, mounts: str, groups: str, **files: str) -> Path:
    """Make a root with these files; a dash in a folder's name stands for a slash."""
    contents = {
        "proc/self/cgroup": groups,
        "proc/self/mountinfo": mounts,
        "proc/meminfo": "MemTotal: 9999999 kB\nMemAvailable: 4096000 kB\n",
        **files,
    }
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_a_cgroup_the_host_and_the_affinity_count(tmp_path: Path) -> None:
    root = host(tmp_path, "", "")
    assert (limits.cpus(root), limits.available_mib(root)) == (8, 4000)
    assert limits.memory_mib(root) == 9999999 >> 10
    (root / "proc/meminfo").unlink()
    assert (limits.available_mib(root), limits.memory_mib(root)) == (0, 0)


def test_this_host_has_limits() -> None:
    assert 1 <= limits.cpus() <= 8
    assert limits.available_mib() > 0


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", 8), ("100000 100000", 1), ("150000 100000", 2), ("5000 100000", 1), ("", 8)],
)
def test_a_quota_of_version_2(tmp_path: Path, quota: str, cpus: int) -> None:
    files = {"sys/fs/cgroup/a/b/cpu.max": quota}
    assert limits.cpus(host(tmp_path, V2, "0::/a/b\n", **files)) == cpus


def test_a_parent_s_limit_counts(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/a/cpu.max": "200000 100000",
        "sys/fs/cgroup/a/b/cpu.max": "max 100000",
        "sys/fs/cgroup/a/memory.max": str(1000 << 20),
        "sys/fs/cgroup/a/memory.current": str(700 << 20),
        "sys/fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {200 << 20}\n",
        "sys/fs/cgroup/a/b/memory.max": "max",
        "sys/fs/cgroup/a/b/memory.current": str(600 << 20),
    }
    root = host(tmp_path, V2, "0::/a/b\n", **files)
    assert (limits.cpus(root), limits.available_mib(root)) == (2, 500)
    assert limits.memory_mib(root) == 1000


def test_the_cgroup_at_the_top_of_a_container_s_mount(tmp_path: Path) -> None:
    """Without a cgroup name space the paths are the host's, and the mount's top says which."""
    mounts = V2.replace(" / /sys", " /docker/123 /sys")
    files = {"sys/fs/cgroup/cpu.max": "100000 100000"}
    assert limits.cpus(host(tmp_path, mounts, "0::/docker/123\n", **files)) == 1


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 8), ("300000", 3)])
def test_version_1(tmp_path: Path, quota: str, cpus: int) -> None:
    groups = "5:devices:/\n4:memory:/job\n2:cpu,cpuacct:/job\n0::/\n"
    files = {
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": quota,
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(512 << 20),
        "sys/fs/cgroup/memory/job/memory.usage_in_bytes": str(600 << 20),
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "1",
    }
    root = host(tmp_path, V1, groups, **files)
    assert (limits.cpus(root), limits.available_mib(root)) == (cpus, 0)
    assert limits.memory_mib(root) == 512


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20))
def test_whatever_the_files_say_there_is_one_cpu(
    tmp_path_factory: pytest.TempPathFactory, mounts: str, groups: str, quota: str
) -> None:
    files = {"sys/fs/cgroup/cpu.max": quota}
    root = host(tmp_path_factory.mktemp("root"), f"{V2}{mounts}", f"{groups}\n0::/\n", **files)
    assert limits.cpus(root) >= 1
    assert limits.available_mib(root) >= 0
