"""Machines for one run: each with the run's kernel and its modules, each as good as new.

A kernel is booted once; the machine is saved as soon as SSH listens (``boot``), and once more with
its modules loaded (``modules``). Every machine of every run is then restored from the latter: in a
fraction of a second, with a random pool and a clock of its own. Where QEMU cannot save a machine,
each is booted instead.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit import keys, machine, payload, process, qemu, room, selftests, snapshot
from toolkit.arch import Arch
from toolkit.cache import Cache, digest
from toolkit.deadline import Deadline
from toolkit.errors import BootError, InfrastructureError, MachineLostError, ToolMissingError
from toolkit.guest import GuestSession
from toolkit.keys import MachineKeys
from toolkit.machine import Machine
from toolkit.model import (
    Accelerator,
    DiskFile,
    GuestImage,
    KernelBuild,
    MachineSpec,
    MemoryFile,
    Observer,
    Splat,
    StageRecord,
)
from toolkit.snapshot import Snapshot

BOOT_SECONDS = 180.0  # from QEMU's start to SSH, under emulation on a busy host
RESTORE_SECONDS = 60.0
SAVED_BYTES = 4 << 30  # all saved machines together; each edit of a module makes one of 50 MB
_LATELY = 3600.0  # seconds for which one that was used stays in any case: it may be in use
_LOGOUT_SECONDS = 5.0
_POLL = 0.1
_KIND = "snapshot"
_DEVICES = "devices"


Lent = tuple[Machine, GuestSession]  # what who asks for a machine gets


class _CannotSaveError(InfrastructureError):
    """This machine cannot be saved; it can still be booted each time."""


@dataclass(frozen=True, slots=True)
class _Files:
    """What a machine is restored from, or saved into, beside its state."""

    memory: MemoryFile
    disk: DiskFile | None


@dataclass(slots=True)
class Testbed:
    """What every machine of a run is made of, and where its evidence goes.

    ``on_boot_splats`` hears what a kernel complained of before its machine was ready, and
    ``stages`` gets a record of how the machines were made. ``snapshots`` False boots each.
    """

    arch: Arch
    cache: Cache
    kernel: KernelBuild
    image: GuestImage
    accelerator: Accelerator
    qemu_version: str
    folder: Path
    observer: Observer
    deadline: Deadline
    stages: list[StageRecord]
    on_boot_splats: Callable[[str, tuple[Splat, ...]], None]
    append: tuple[str, ...] = ()
    snapshots: bool = True
    _saved: Snapshot | None = field(default=None, init=False)
    _prepared: bool = field(default=False, init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False)
    _turns: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._turns = threading.Semaphore(room.at_once(self.image))

    def prepare(self) -> None:
        """Have a saved machine to restore from, made now where the cache has none.

        Raises :class:`BootError` when the kernel does not come up, and
        :class:`MachineLostError` when QEMU does not.
        """
        if self._prepared:
            return
        self._prepared = True
        try:
            if not self.snapshots:
                return
            self._saved = self._with_modules()
        except _CannotSaveError as error:
            self.observer.notice(f"each machine is booted: {error.what}")
            return
        finally:
            self._write_script()
        shutil.copyfile(self._saved.console, self.folder / snapshot.CONSOLE)
        self.on_boot_splats("boot", self._saved.splats)

    def room(self) -> int:
        """Return how many machines may work at a time."""
        config = self.kernel.config.read_text()
        return room.machines(self.image, self.accelerator.name, config)

    @contextlib.contextmanager
    def boot(self, deadline: Deadline | None = None) -> Iterator[Lent]:
        """Give a machine with its modules loaded, and a session in it; leaving stops it.

        Any number of threads may be in here at once, after :meth:`prepare`. Raises as that does.
        """
        self.prepare()
        folder = self.folder / "machines" / str(next(self._numbers))
        folder.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            lent = self._enter(stack, folder, deadline or self.deadline)
            yield lent
            died = lent[0].dead()
        if not died:  # of a machine that served to its end nothing is left to tell
            shutil.rmtree(folder)

    def _enter(self, stack: contextlib.ExitStack, folder: Path, deadline: Deadline) -> Lent:
        saved = self._saved
        if saved is None:
            return stack.enter_context(self._booted(folder, deadline))
        try:
            return stack.enter_context(self._restored(folder, saved, deadline))
        except (MachineLostError, OSError) as error:
            # Its sums were right, so QEMU does not like it, or it was pruned. The next run makes a
            # new one.
            self._saved = None
            self.cache.discard(_KIND, saved.path.name)
            self.observer.notice(f"a saved machine cannot be restored, and one is booted: {error}")
            again = folder / "booted"
            again.mkdir()
            return stack.enter_context(self._booted(again, deadline))

    def _write_script(self) -> None:
        """Write a script that boots the same machine by hand, with the keys of the saved one."""
        folder = self.folder / snapshot.KEYS
        if self._saved:
            shutil.copytree(self._saved.keys, folder, dirs_exist_ok=True)
            made = keys.load_keys(folder)
        else:
            made = keys.make_keys(folder, self.image.host_key_type)
        spec = self._spec(self.folder, made.fw_cfg, Path())
        script = self.folder / "qemu.sh"
        script.write_text(qemu.script(spec, made.client_key))
        script.chmod(0o755)

    # --- the ways to a machine ---------------------------------------------------

    @contextlib.contextmanager
    def _booted(self, folder: Path, deadline: Deadline) -> Iterator[Lent]:
        limit = deadline.sooner(BOOT_SECONDS)
        made = keys.make_keys(folder / snapshot.KEYS, self.image.host_key_type)
        with self._started(folder, made, limit) as vm:
            vm.wait_ready(limit)
            with self._session(vm, made, limit) as session:
                self._load_modules(vm, session, limit)
                yield vm, session

    @contextlib.contextmanager
    def _restored(
        self, folder: Path, saved: Snapshot, deadline: Deadline, into: Path | None = None
    ) -> Iterator[Lent]:
        """Restore a machine: its memory and disk into copies of one's own, or from what stays."""
        made = keys.load_keys(saved.keys)
        files = self._files(into or saved.path, kept=bool(into))
        with self._turn(deadline) as give_up:
            limit = deadline.sooner(RESTORE_SECONDS)  # the wait for others is none of it
            with self._started(folder, made, limit, files, incoming=True) as vm:
                with saved.state.open("rb") as state:
                    vm.restore(state, limit)
                with self._session(vm, made, limit) as session:
                    session.set_clock()
                    give_up()
                    yield vm, session

    @contextlib.contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[Callable[[], None]]:
        """Wait until a machine may be restored; what is yielded lets the next one.

        Two that want the same core are both late, and whoever waits wants the first one.
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
            spec = self._spec(folder, made.fw_cfg, Path(scratch) / "qmp.sock")
            if payload.readable(self.kernel.config.read_text()):
                spec = replace(spec, payload=stack.enter_context(payload.blank(folder)))
            if files:
                spec = replace(spec, memory=files.memory, disk=files.disk, incoming=incoming)
            yield stack.enter_context(machine.start(spec, limit))

    def _files(self, folder: Path, *, kept: bool) -> _Files:
        """Return the memory and the disk in ``folder``; unless ``kept``, neither is written."""
        disk = DiskFile(folder / snapshot.DISK, "qcow2", kept) if self.image.disk else None
        return _Files(MemoryFile(folder / snapshot.MEMORY, shared=kept), disk)

    def _spec(self, folder: Path, fw_cfg: Mapping[str, Path], socket: Path) -> MachineSpec:
        return MachineSpec(
            binary=process.find(self.arch.qemu, self.arch.qemu_package),
            accelerator=self.accelerator,
            machine_type=self.image.machine_type,
            memory_mib=self.image.memory_mib,
            cpus=self.image.cpus,
            kernel=self.kernel.image,
            initrd=self.image.initrd,
            disk=DiskFile(self.image.disk) if self.image.disk else None,
            cmdline=(*self.image.cmdline, *self.append),
            devices=self.image.devices,
            fw_cfg=fw_cfg,
            console_log=folder / snapshot.CONSOLE,
            qmp_socket=socket,
            generation=str(uuid.uuid4()),
        )

    def _session(self, vm: Machine, made: MachineKeys, limit: Deadline) -> GuestSession:
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
                selftests.load_modules(session, modules, self._devices(session, limit), limit)
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
            (folder / _DEVICES).write_text("\n".join(selftests.devices(session, limit)))

        path, _ = self.cache.make(
            _DEVICES, self._keys()[0], fill, deadline=limit, label=self.kernel.release
        )
        return (path / _DEVICES).read_text().splitlines()

    # --- saved machines ----------------------------------------------------------------

    def identity(self) -> str:
        """Return a digest of all that a machine is made of: kernel, modules, image, QEMU …."""
        return self._keys()[1]

    def _keys(self) -> tuple[str, str]:
        """Return the keys of the machine that was booted and of the one with modules loaded."""
        spec = self._spec(self.folder, {}, Path())
        booted = snapshot.booted_key(
            spec, kernel=self.kernel.image_digest, image=self.image.key, qemu=self.qemu_version
        )
        modules = self.kernel.modules
        return booted, digest(booted, modules.read_bytes()) if modules else booted

    def _with_modules(self) -> Snapshot:
        """Return the saved machine with its modules loaded; a record for each step."""
        booted, loaded = self._keys()
        found = self._find(loaded)
        base = self._stage("boot", booted, self._save_booted, found)
        if loaded == booted:
            return base
        return self._stage("modules", loaded, lambda to: self._save_loaded(base, to), found)

    def _find(self, key: str) -> Snapshot | None:
        """Return a saved machine; one that is damaged is removed and counts as none."""
        path = self.cache.find(_KIND, key)
        if path is None:
            return None
        saved = snapshot.load(path)
        damage = saved.damage() if saved else "its description cannot be read"
        if not damage:
            return saved
        self.observer.notice(f"a saved machine is damaged and made again: {damage}")
        self.cache.discard(_KIND, key)
        return None

    def _stage(
        self, name: str, key: str, fill: Callable[[Path], None], found: Snapshot | None
    ) -> Snapshot:
        """Run one step unless ``found`` is what it leads to."""
        self.observer.stage_started(name)
        began = time.monotonic()
        saved = found or self._find(key)
        record_found = saved is not None
        try:
            saved = saved or self._made(name, key, fill)
        except BaseException:
            self.observer.stage_failed(name)
            raise
        record = StageRecord(name, round(time.monotonic() - began, 3), record_found, "saved")
        self.stages.append(record)
        self.observer.stage_finished(record)
        return saved

    def _made(self, name: str, key: str, fill: Callable[[Path], None]) -> Snapshot:
        label = f"{name} {self.kernel.release}"
        path, _ = self.cache.make(
            _KIND, key, fill, deadline=self.deadline, label=label, checked=False
        )
        self.cache.trim(_KIND, SAVED_BYTES, unused=_LATELY)
        saved = snapshot.load(path)
        assert saved is not None
        return saved

    def _save_booted(self, folder: Path) -> None:
        limit = self.deadline.sooner(BOOT_SECONDS)
        if self.image.disk:
            _lay_over(self.image.disk, folder / snapshot.DISK, limit)
        made = keys.make_keys(folder / snapshot.KEYS, self.image.host_key_type)
        with self._started(self.folder, made, limit, self._files(folder, kept=True)) as vm:
            vm.wait_ready(limit)
            self._save(vm, folder, limit)

    def _save_loaded(self, base: Snapshot, folder: Path) -> None:
        limit = self.deadline.sooner(BOOT_SECONDS)
        shutil.copytree(base.keys, folder / snapshot.KEYS)
        snapshot.copy_memory(base.memory, folder / snapshot.MEMORY)
        if self.image.disk:
            shutil.copyfile(base.disk, folder / snapshot.DISK)
        own = self.folder / "machines/modules"
        own.mkdir(parents=True, exist_ok=True)
        with self._restored(own, base, limit, folder) as (vm, session):
            self._load_modules(vm, session, limit)
            if not session.log_out(limit.sooner(_LOGOUT_SECONDS)):
                raise _CannotSaveError("the guest keeps a closed SSH session")
            self._save(vm, folder, limit, base)
        shutil.rmtree(own)

    def _save(
        self, vm: Machine, folder: Path, limit: Deadline, base: Snapshot | None = None
    ) -> None:
        try:
            with (folder / snapshot.STATE).open("wb") as state:
                vm.save(state, limit)
        except MachineLostError as error:
            raise _CannotSaveError(error.what) from error
        console = vm.spec.console_log.read_bytes()
        before = base.console.read_bytes() if base else b""
        (folder / snapshot.CONSOLE).write_bytes(before + console)
        snapshot.seal(folder, (*(base.splats if base else ()), *vm.splats()))


def _lay_over(disk: Path, target: Path, deadline: Deadline) -> None:
    """Make a file that takes what a machine writes to ``disk``, which stays as it is."""
    try:
        program = process.find("qemu-img", "qemu-utils")
    except ToolMissingError as error:
        raise _CannotSaveError(f"{error.what}, and the image has a disk") from error
    words = ("create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(disk), str(target))
    process.run([program, *words], deadline=deadline)
