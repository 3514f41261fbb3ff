"""How many CPUs and how much memory this process may use: the host's, its affinity, its cgroups.

A container or a systemd unit sees all of the host in /proc, but gets only what its cgroups allow
(Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, scheduler/sched-bwc.rst).
``root`` is where /proc and the cgroup file systems lie.
"""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")
_V2 = ""  # the controllers that /proc/self/cgroup gives for the one hierarchy of version 2
_UNLIMITED_V1 = 1 << 60  # bytes; version 1 writes the largest multiple of a page for no limit


@dataclass(frozen=True, slots=True)
class _Mount:
    """A mounted cgroup hierarchy: the cgroup at its top, where, and what it controls."""

    top: str
    place: str
    controllers: frozenset[str]


def cpus(root: Path = _ROOT) -> int:
    """Return how many CPUs this process may keep busy; at least one.

    That is the affinity, or less if a cgroup's quota is less; a part of a CPU counts as one.
    """
    quotas = [_quota_v2(folder / "cpu.max") for folder in _folders(root, _V2)]
    quotas += [_quota_v1(folder) for folder in _folders(root, "cpu")]
    limits = [max(1, math.ceil(quota)) for quota in quotas if quota is not None]
    return min([len(os.sched_getaffinity(0)), *limits])


def available_mib(root: Path = _ROOT) -> int:
    """Return how much memory new processes can have without swapping, in MiB.

    That is MemAvailable (proc(5)), or less if a cgroup has less left. The page cache that a cgroup
    counts as used can be reclaimed, unless it is in active use.
    """
    left = [
        _left(folder, "memory.max", "memory.current", "inactive_file")
        for folder in _folders(root, _V2)
    ]
    left += [
        _left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        for folder in _folders(root, "memory")
    ]
    available = _named(root / "proc/meminfo", "MemAvailable:") << 10
    return max(0, min([available, *(rest for rest in left if rest is not None)])) >> 20


def memory_mib(root: Path = _ROOT) -> int:
    """Return how much memory this process could have if nobody else had any, in MiB; 0: unknown."""
    limits = [_limit(folder / "memory.max") for folder in _folders(root, _V2)]
    limits += [_limit(folder / "memory.limit_in_bytes") for folder in _folders(root, "memory")]
    total = _named(root / "proc/meminfo", "MemTotal:") << 10
    return min([total, *(each for each in limits if each is not None)]) >> 20


def _quota_v2(file: Path) -> float | None:
    match _read(file).split():
        case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):
            return int(quota) / int(period)
    return None


def _quota_v1(folder: Path) -> float | None:
    quota, period = (_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    if quota.isdecimal() and period.isdecimal() and int(period):  # without a quota it is -1
        return int(quota) / int(period)
    return None


def _left(folder: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    most, used = _limit(folder / limit), _read(folder / usage)
    if most is None or not used.isdecimal():
        return None
    return most - int(used) + _named(folder / "memory.stat", reclaimable)


def _limit(file: Path) -> int | None:
    """Return a limit of memory in bytes; None where there is none."""
    most = _read(file)
    return int(most) if most.isdecimal() and int(most) < _UNLIMITED_V1 else None


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folder of this process's cgroup for a controller, and those of its parents.

    What a parent allows bounds its children. A container sees no further up than its own mount.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2) if line.count(":") >= 2 else ("", "?", "")
        if controller not in controllers.split(","):
            continue
        for mount in _mounts(root):
            if controller not in mount.controllers:
                continue
            inner = posixpath.relpath(group, mount.top)
            inner = "" if inner.startswith("..") else posixpath.normpath(inner)
            folder = root / mount.place.lstrip("/") / inner
            for _ in range(len(Path(inner).parts) + 1):
                yield folder
                folder = folder.parent


def _mounts(root: Path) -> Iterator[_Mount]:
    """Yield the cgroup hierarchies that /proc/self/mountinfo names (proc(5))."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or not kind:
            continue
        if kind[0] == "cgroup2":
            yield _Mount(fields[3], fields[4], frozenset({_V2}))
        elif kind[0] == "cgroup":
            yield _Mount(fields[3], fields[4], frozenset(kind[-1].split(",")))


def _named(file: Path, name: str) -> int:
    """Return the number that follows ``name`` in a file of names and numbers, or 0."""
    for line in _read(file).splitlines():
        match line.split():
            case [first, number, *_] if first == name and number.isdecimal():
                return int(number)
    return 0


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
