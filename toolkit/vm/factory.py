"""Makes the machines of one kernel and image: booted, or restored from one that was saved.

:mod:`toolkit.vm.pool` decides which of these ways a run takes, and when a machine is saved.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import re
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BootError, InfrastructureError, MachineLostError, ToolMissingError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import (
    Accelerator,
    DiskFile,
    GuestImage,
    MachineSpec,
    MemoryFile,
    Splat,
)
from toolkit.formats import cpio
from toolkit.host import limits, process
from toolkit.host.cache import Cache, digest
from toolkit.vm import coldplug, initramfs, machine, snapshot, ssh_keys, transfer_disk
from toolkit.vm.machine import Machine
from toolkit.vm.snapshot import Snapshot
from toolkit.vm.ssh_keys import MachineKeys

if TYPE_CHECKING:
    from toolkit.vm.ssh import GuestSession

BOOT_SECONDS = 180.0  # from QEMU's start to SSH, under emulation on a busy host
RESTORE_SECONDS = 60.0
_LOGOUT_SECONDS = 5.0
_POLL = 0.1
_DEVICES = "devices"
_INITRD = "initrd"  # of one machine
_OWN_MIB = 256  # what QEMU takes besides the guest's memory: its translated code, above all
_LOCKDEP = "CONFIG_PROVE_LOCKING=y"
_FLEETING = re.compile(r"\b(?:CPU|PID): \d+")


class CannotSaveError(InfrastructureError):
    """This machine cannot be saved; it can still be booted each time."""


@dataclass(frozen=True, slots=True)
class BootedGuest:
    """A machine with its modules loaded, and a session in it.

    ``boot_splats`` is what its kernel complained of on this machine's console before it was handed
    over: while it booted, so no test program is to blame. A restored machine's console begins
    later; what its kernel complained of stands in the :class:`Snapshot`.
    """

    machine: Machine
    session: GuestSession
    boot_splats: tuple[Splat, ...] = ()


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a machine that are no part of its state."""

    memory: MemoryFile
    disk: DiskFile | None


@dataclass(slots=True)
class MachineFactory:
    """What every machine of a run is made of.

    Machines may be made by several threads at once, each in a folder of its own.
    """

    arch: Arch
    cache: Cache
    kernel: KernelBuild
    image: GuestImage
    accelerator: Accelerator
    qemu_version: str
    append: tuple[str, ...] = ()
    _turns: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._turns = threading.Semaphore(restored_at_a_time(self.image))

    def capacity(self) -> int:
        """Return how many of these machines may work at a time on this host."""
        config = self.kernel.config.read_text()
        return working_at_a_time(self.image, self.accelerator.name, config)

    def cannot_save(self) -> str:
        """Return why no machine of this architecture can be saved, or ""."""
        if self.arch.vmgenid:
            return ""
        return (
            f"QEMU has no vmgenid for {self.arch.name}, by which a restored kernel knows to reseed "
            "its random pool"
        )

    def cache_keys(self) -> tuple[str, str]:
        """Return the keys of the machine that was booted and of the one with modules loaded."""
        spec = self.spec(Path(), {}, Path())
        booted = snapshot.booted_key(
            spec, kernel=self.kernel.image_digest, image=self.image.key, qemu=self.qemu_version
        )
        modules = self.kernel.modules
        return booted, digest(booted, modules.read_bytes()) if modules else booted

    def spec(self, folder: Path, fw_cfg: Mapping[str, Path], socket: Path) -> MachineSpec:
        """Return how QEMU runs a machine whose evidence goes to ``folder``.

        Where the board has no fw_cfg, the files lie behind the initramfs, in a copy there.
        """
        initrd = self.image.initrd
        if initrd and fw_cfg and not self.arch.fw_cfg:
            initrd, fw_cfg = _behind(initrd, fw_cfg, folder / _INITRD), {}
        return MachineSpec(
            binary=process.find(self.arch.qemu, self.arch.qemu_package),
            accelerator=self.accelerator,
            machine_type=self.image.machine_type,
            memory_mib=self.image.memory_mib,
            cpus=self.image.cpus,
            kernel=self.kernel.image,
            initrd=initrd,
            disk=DiskFile(self.image.disk) if self.image.disk else None,
            cmdline=(*self.image.cmdline, *self.arch.early, *self.append),
            devices=self.image.devices,
            fw_cfg=fw_cfg,
            console_log=folder / snapshot.CONSOLE,
            qmp_socket=socket,
            generation=str(uuid.uuid4()) if self.arch.vmgenid else "",
        )

    # --- the ways to a machine ---------------------------------------------------

    @contextlib.contextmanager
    def booted(self, folder: Path, deadline: Deadline) -> Iterator[BootedGuest]:
        """Boot a machine and load its modules.

        Raises :class:`BootError` when the kernel does not come up, and :class:`MachineLostError`
        when QEMU does not.
        """
        limit = deadline.sooner(BOOT_SECONDS)
        keys = ssh_keys.make_keys(folder / snapshot.KEYS, self.image.host_key_type)
        with self._started(folder, keys, limit) as vm:
            vm.wait_ready(limit)
            limit = deadline.sooner(BOOT_SECONDS)  # it may have lost time, and all of the first
            with self._session(vm, keys, limit) as session:
                self._load_modules(vm, session, limit)
                yield BootedGuest(vm, session, vm.splats())

    @contextlib.contextmanager
    def restored(
        self, folder: Path, saved: Snapshot, deadline: Deadline, into: Path | None = None
    ) -> Iterator[BootedGuest]:
        """Restore a machine, with the modules that it had when it was saved.

        It writes to memory and a disk of its own; with ``into`` those are the files there, which
        have been copied already and stay. Raises :class:`MachineLostError` when QEMU does not
        like what was saved.
        """
        keys = ssh_keys.load_keys(saved.keys)
        files = self._files(into or saved.path, kept=bool(into))
        with self._turn(deadline) as give_up:
            limit = deadline.sooner(RESTORE_SECONDS)  # the wait for others is none of it
            with self._started(folder, keys, limit, files, incoming=True) as vm:
                with saved.state.open("rb") as state:
                    vm.restore(state, limit)
                with self._session(vm, keys, limit) as session:
                    session.set_clock()
                    give_up()
                    yield BootedGuest(vm, session)

    @contextlib.contextmanager
    def loaded(self, folder: Path, base: Snapshot, deadline: Deadline) -> Iterator[BootedGuest]:
        """Restore a machine that was saved without its modules, and load them; raises as both."""
        with self.restored(folder, base, deadline) as guest:
            yield self.with_modules(guest, deadline)

    def with_modules(self, guest: BootedGuest, deadline: Deadline) -> BootedGuest:
        """Return a machine that was restored without its modules, once they are loaded."""
        self._load_modules(guest.machine, guest.session, deadline.sooner(BOOT_SECONDS))
        return replace(guest, boot_splats=guest.machine.splats())

    @contextlib.contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[Callable[[], None]]:
        """Wait until a machine may be restored; calling what is yielded lets the next one start.

        Of two that share a core both would be late, and a run waits for the first one.
        """
        while not self._turns.acquire(timeout=_POLL):
            deadline.check("waiting for other machines to be restored")
        with contextlib.ExitStack() as turn:
            turn.callback(self._turns.release)
            yield turn.close

    @contextlib.contextmanager
    def _started(
        self,
        folder: Path,
        made: MachineKeys,
        limit: Deadline,
        files: _Files | None = None,
        *,
        incoming: bool = False,
    ) -> Iterator[Machine]:
        # A socket's path is short (unix(7): 108 bytes), so it is not in the run's folder.
        with contextlib.ExitStack() as stack:
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="toolkit-"))
            spec = self.spec(folder, made.fw_cfg, Path(scratch) / "qmp.sock")
            if transfer_disk.readable(self.kernel.config.read_text()):
                spec = replace(spec, payload=stack.enter_context(transfer_disk.blank(folder)))
            if files:
                spec = replace(spec, memory=files.memory, disk=files.disk, incoming=incoming)
            _import_ssh()
            yield stack.enter_context(machine.start(spec, limit))

    def _files(self, folder: Path, *, kept: bool) -> _Files:
        """Return the memory and the disk in ``folder``; unless ``kept``, neither is written."""
        disk = DiskFile(folder / snapshot.DISK, "qcow2", kept) if self.image.disk else None
        return _Files(MemoryFile(folder / snapshot.MEMORY, shared=kept), disk)

    def _session(self, vm: Machine, made: MachineKeys, limit: Deadline) -> GuestSession:
        from toolkit.vm.ssh import GuestSession  # noqa: PLC0415 - see _import_ssh

        return GuestSession.connect(
            vm.ssh_port,
            user=self.image.user,
            client_key=made.client_key,
            host_key=base64.b64decode(made.host_public.split()[1]),
            deadline=limit,
            alive=vm.dead,
            payload_disk=vm.spec.payload,
        )

    def _load_modules(self, vm: Machine, session: GuestSession, limit: Deadline) -> None:
        try:
            if modules := self.kernel.modules:
                devices = self._devices(session, limit)
                coldplug.load_modules(vm, session, modules, devices, limit)
        except MachineLostError as error:
            vm.settle()
            if not vm.kernel_ended():
                raise
            raise BootError(
                f"the kernel died while its modules were loaded: {vm.dead()}",
                detail=vm.console_tail(),
                log=vm.spec.console_log,
            ) from error

    def _devices(self, session: GuestSession, limit: Deadline) -> list[str]:
        """Return the machine's devices: the same at each boot, so asked for once."""

        def fill(folder: Path) -> None:
            (folder / _DEVICES).write_text("\n".join(coldplug.devices(session, limit)))

        path, _ = self.cache.make(
            _DEVICES, self.cache_keys()[0], fill, deadline=limit, label=self.kernel.release
        )
        return (path / _DEVICES).read_text().splitlines()

    # --- to saved machines --------------------------------------------------------

    def save_booted(self, into: Path, own: Path, deadline: Deadline) -> None:
        """Boot a machine and save it in ``into`` before there was any session in it.

        Its evidence goes to ``own``. Raises :class:`CannotSaveError` where this QEMU cannot save
        this machine, else as :meth:`booted` does.
        """
        limit = deadline.sooner(BOOT_SECONDS)
        if self.image.disk:
            _lay_over(self.image.disk, into / snapshot.DISK, limit)
        keys = ssh_keys.make_keys(into / snapshot.KEYS, self.image.host_key_type)
        with self._started(own, keys, limit, self._files(into, kept=True)) as vm:
            vm.wait_ready(limit)
            self._save(vm, into, deadline.sooner(BOOT_SECONDS))

    def save_loaded(
        self,
        base: Snapshot,
        into: Path,
        own: Path,
        deadline: Deadline,
        seen: Sequence[Splat] = (),
    ) -> None:
        """Restore ``base``, load the modules, and save that in ``into``; raises as both do.

        ``seen`` is what the same kernel and modules complained of in another machine: it is saved
        as well, for a kernel that complains now and then complains.
        """
        limit = deadline.sooner(BOOT_SECONDS)
        shutil.copytree(base.keys, into / snapshot.KEYS)
        snapshot.copy_memory(base.memory, into / snapshot.MEMORY)
        if self.image.disk:
            shutil.copyfile(base.disk, into / snapshot.DISK)
        with self.restored(own, base, limit, into) as guest:
            self._load_modules(guest.machine, guest.session, limit)
            if not guest.session.log_out(limit.sooner(_LOGOUT_SECONDS)):
                raise CannotSaveError("the guest keeps a closed SSH session")
            self._save(guest.machine, into, limit, base, seen)

    @staticmethod
    def _save(
        vm: Machine,
        into: Path,
        limit: Deadline,
        base: Snapshot | None = None,
        seen: Sequence[Splat] = (),
    ) -> None:
        try:
            with (into / snapshot.STATE).open("wb") as state:
                vm.save(state, limit)
        except MachineLostError as error:
            raise CannotSaveError(error.what) from error
        console = vm.spec.console_log.read_bytes()
        before = base.console.read_bytes() if base else b""
        (into / snapshot.CONSOLE).write_bytes(before + console)
        own = (*(base.splats if base else ()), *vm.splats())
        snapshot.seal(into, merged(own, seen))


def _import_ssh() -> None:
    """Begin to import paramiko, which takes a tenth of a second: QEMU starts meanwhile."""
    threading.Thread(target=importlib.import_module, args=("toolkit.vm.ssh",), daemon=True).start()


def _behind(initrd: Path, files: Mapping[str, Path], target: Path) -> Path:
    """Write an initramfs with files behind it, each as ``NAME/raw`` as in fw_cfg's folder."""
    entries = [cpio.file(f"{name}/raw", path.read_bytes(), 0o400) for name, path in files.items()]
    target.write_bytes(initramfs.followed_by(initrd.read_bytes(), cpio.with_parents(entries)))
    return target


def working_at_a_time(image: GuestImage, accelerator: str, config: str) -> int:
    """Return how many machines with ``image`` may work: one a core, as long as memory is free.

    ``config`` is the kernel's configuration. Where a kernel that proves its locking is emulated, it
    is one for as many cores as the machine has CPUs: all of lockdep has one lock
    (kernel/locking/lockdep.c), and while the host keeps the emulated CPU that holds it waiting, the
    others spin. Two such machines of two CPUs on two cores took twice as long as one after the
    other.
    """
    cores = limits.cpus()
    if accelerator == "tcg" and _LOCKDEP in config.splitlines():
        cores = restored_at_a_time(image)
    return max(1, min(cores, limits.available_mib() // (image.memory_mib + _OWN_MIB)))


def restored_at_a_time(image: GuestImage) -> int:
    """Return how many machines with ``image`` may be restored: as many as their CPUs have cores.

    On two cores, two at a time took 0.89 s to their sessions, and one 0.56 s.
    """
    return max(1, limits.cpus() // image.cpus)


def merged(*sightings: Sequence[Splat]) -> tuple[Splat, ...]:
    """Return what a kernel complained of in several machines, each complaint once.

    Complaints are the same where their titles differ in numbers of CPUs and processes alone.
    """
    kept: list[Splat] = []
    for splats in sightings:
        titles = {_FLEETING.sub("", each.title) for each in kept}
        kept += (each for each in splats if _FLEETING.sub("", each.title) not in titles)
    return tuple(kept)


def _lay_over(disk: Path, target: Path, deadline: Deadline) -> None:
    """Make a file that takes what a machine writes to ``disk``, which stays as it is."""
    try:
        program = process.find("qemu-img", "qemu-utils")
    except ToolMissingError as error:
        raise CannotSaveError(f"{error.what}, and the image has a disk") from error
    words = ("create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(disk), str(target))
    process.run([program, *words], deadline=deadline)
