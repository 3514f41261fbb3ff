"""What tests need of the place where machines come from; it is :mod:`toolkit.vm.pool` in a run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import Splat
from toolkit.core.observer import Observer
from toolkit.core.stages import StageLog
from toolkit.host.cache import Cache
from toolkit.vm.factory import BootedGuest, MachineFactory


class Machines(Protocol):
    """Where machines with one kernel come from: :class:`toolkit.vm.pool.MachinePool`."""

    @property
    def kernel(self) -> KernelBuild:
        """The kernel of these machines."""

    @property
    def boot_splats(self) -> tuple[Splat, ...]:
        """What it complained of while booting, as far as is known."""

    def capacity(self) -> int:
        """Return how many machines may work at a time."""

    def identity(self) -> str:
        """Return a digest of all that a machine is made of."""

    def prepare(self) -> None:
        """Boot the kernel, or have a saved machine to restore from."""

    def learn_boot(self) -> None:
        """Have :attr:`boot_splats` complete, though no program needs a machine."""

    def start(self) -> None:
        """Have one machine ready, and others soon; to be called within :meth:`in_use`."""

    def in_use(self) -> AbstractContextManager[None]:
        """Within it :meth:`start` may be called; leaving it waits for what that began."""

    def boot(self, deadline: Deadline | None = None) -> AbstractContextManager[BootedGuest]:
        """Lend a machine; leaving stops it."""


class MakeMachines(Protocol):
    """Makes that place from a factory; the class :class:`toolkit.vm.pool.MachinePool` does."""

    def __call__(
        self,
        *,
        factory: MachineFactory,
        cache: Cache,
        folder: Path,
        observer: Observer,
        deadline: Deadline,
        stages: StageLog,
        snapshots: bool,
    ) -> Machines:
        """Return it; nothing is booted yet."""
