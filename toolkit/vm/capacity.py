"""How many machines may work at a time on this host."""

from __future__ import annotations

from toolkit.core.model.machine import GuestImage
from toolkit.host import limits

_OWN_MIB = 256  # what QEMU takes beside the guest's memory: its translated code, above all
_LOCKDEP = "CONFIG_PROVE_LOCKING=y"


def machines(image: GuestImage, accelerator: str, config: str) -> int:
    """Return how many machines with ``image`` may work: one a core, as long as memory is free.

    ``config`` is the kernel's configuration. Where a kernel that proves its locking is emulated, it
    is one for as many cores as the machine has CPUs: all of lockdep has one lock
    (kernel/locking/lockdep.c), and while the host keeps the emulated CPU that holds it waiting, the
    others spin. Two such machines of two CPUs on two cores took twice as long as one after the
    other.
    """
    cores = limits.cpus()
    if accelerator == "tcg" and _LOCKDEP in config.splitlines():
        cores = at_once(image)
    return max(1, min(cores, limits.available_mib() // (image.memory_mib + _OWN_MIB)))


def at_once(image: GuestImage) -> int:
    """Return how many machines with ``image`` may be restored at a time: as cores for their CPUs.

    On two cores, two at a time took 0.89 s to their sessions, and one 0.56 s.
    """
    return max(1, limits.cpus() // image.cpus)
