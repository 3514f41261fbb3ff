"""How many machines may work at a time on this host."""

from __future__ import annotations

import os
from pathlib import Path

from toolkit.core.model.machine import GuestImage

_OWN_MIB = 256  # what QEMU takes beside the guest's memory: its translated code, above all
_LOCKDEP = "CONFIG_PROVE_LOCKING=y"
_MEMINFO = Path("/proc/meminfo")


def machines(image: GuestImage, accelerator: str, config: str) -> int:
    """Return how many machines with ``image`` may work: one a core, as long as memory is free.

    ``config`` is the kernel's configuration. Where a kernel that proves its locking is emulated, it
    is one for as many cores as the machine has CPUs: all of lockdep has one lock
    (kernel/locking/lockdep.c), and while the host keeps the emulated CPU that holds it waiting, the
    others spin. Two such machines of two CPUs on two cores took twice as long as one after the
    other.
    """
    cores = len(os.sched_getaffinity(0))
    if accelerator == "tcg" and _LOCKDEP in config.splitlines():
        cores = at_once(image)
    return max(1, min(cores, available_mib() // (image.memory_mib + _OWN_MIB)))


def at_once(image: GuestImage) -> int:
    """Return how many machines with ``image`` may be restored at a time: as cores for their CPUs.

    On two cores, two at a time took 0.89 s to their sessions, and one 0.56 s.
    """
    return max(1, len(os.sched_getaffinity(0)) // image.cpus)


def available_mib() -> int:
    """Return how much memory new processes can have without swapping (proc(5), MemAvailable)."""
    for line in _MEMINFO.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) >> 10
    return 0
