"""Machines for one run: each with the run's kernel and its modules, each as good as new.

A kernel is booted once; the machine is saved as soon as SSH listens (``boot``), and once more with
its modules loaded (``modules``). Every machine of every run is then restored from the latter: in a
fraction of a second, with a random pool and a clock of its own. After an edit of a module, the
first machine is restored from the former and gets the new modules, while another one with them is
saved at the same time. Where QEMU cannot save a machine, each is booted instead.

The threads of a run, all but the last ended when its stages have:

- The caller's own. Results and logs are kept by it alone; notices may come from any thread, and a
  display has a lock.
- ``signs of life``: :func:`toolkit.report.terminal.open_display` starts it where the output is no
  terminal, and ends it with the display.
- ``spawner`` (:mod:`toolkit.host.process`) starts every child, and lives as long as the process:
  children get a signal when the *thread* that started them ends (prctl(2), PR_SET_PDEATHSIG).
- While a kernel is built: one that checks the source meanwhile, which
  :meth:`toolkit.kernel.build_folders.WorkTree.settle` waits for, and thread pools that compile or
  run coccinelle, which end with the ``with`` block that made them.
- ``console``, one for each machine: :class:`toolkit.vm.machine.Machine` starts it, and leaving
  :func:`toolkit.vm.machine.start` ends it, after QEMU. Paramiko has one for each session, until
  that is closed.
- ``standby``, in `toolkit watch`: makes a machine for the next run, and ends when it is there. A
  timer ends a machine that nobody takes; leaving :class:`toolkit.vm.standby.Standby` ends both.
- ``saving``: after an edit of a module, :meth:`MachinePool.start` has it save a machine. Leaving
  :meth:`MachinePool.in_use` waits for it; an error cancels its deadline first.
- Workers, one for each machine that works, and one that makes spare machines:
  :func:`toolkit.testing.scheduler.run` starts them and hears of them through a queue. It joins them
  when all programs have run; it cancels their deadline first when one raised, or when its caller
  stops listening.

:class:`MachinePool` and :class:`toolkit.vm.factory.MachineFactory` are entered by several workers
at once; what both sides change is below a lock there.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from toolkit.core.background import Background
from toolkit.core.deadline import Deadline
from toolkit.core.errors import MachineLostError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import Splat
from toolkit.core.observer import Observer, Silent
from toolkit.core.stages import StageLog
from toolkit.host.cache import Cache
from toolkit.vm import qemu_argv, snapshot, ssh_keys
from toolkit.vm.factory import BootedGuest, CannotSaveError, MachineFactory, merged
from toolkit.vm.snapshot import Snapshot, Store
from toolkit.vm.standby import Standby


@dataclass(frozen=True, slots=True)
class _First:
    """The machine that the first caller gets; closing the stack stops it."""

    stack: contextlib.ExitStack
    guest: BootedGuest


@dataclass(slots=True)
class MachinePool:
    """Where a run's machines come from, and where their evidence goes.

    ``stages`` runs the steps in which machines are saved. ``snapshots`` False boots each machine.
    ``standby`` keeps a machine from one run to the next.
    """

    factory: MachineFactory
    cache: Cache
    folder: Path
    observer: Observer
    deadline: Deadline
    stages: StageLog
    snapshots: bool = True
    standby: Standby | None = None
    _store: Store = field(init=False)
    _prepared: bool = field(default=False, init=False)
    _saved: Snapshot | None = field(default=None, init=False)
    _saving: Background[Snapshot | None] | None = field(default=None, init=False)
    _first: _First | None = field(default=None, init=False)
    _boot_splats: tuple[Splat, ...] = field(default=(), init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)  # for these four
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False)

    def __post_init__(self) -> None:
        self._store = Store(self.cache, self.observer)

    @property
    def kernel(self) -> KernelBuild:
        """The kernel of these machines."""
        return self.factory.kernel

    @property
    def boot_splats(self) -> tuple[Splat, ...]:
        """What the kernel complained of before its machines were ready, as far as is known.

        It is complete once the pool is no longer :meth:`in_use`.
        """
        with self._lock:
            return self._boot_splats

    def capacity(self) -> int:
        """Return how many machines may work at a time."""
        return self.factory.capacity()

    def identity(self) -> str:
        """Return a digest of all that a machine is made of: kernel, modules, image, QEMU …."""
        return self.factory.cache_keys()[1]

    # --- before the first machine is asked for ----------------------------------------

    def prepare(self) -> None:
        """Have a saved machine to restore from, made now where the cache has none.

        Raises :class:`BootError` when the kernel does not come up, and
        :class:`MachineLostError` when QEMU does not.
        """
        self._begin(in_haste=False)
        self._settled(self.deadline)

    def start(self) -> None:
        """Have one machine ready, and others soon; to be called within :meth:`in_use`.

        With a saved machine in the cache it is :meth:`prepare`. Raises as that does.
        """
        self._begin(in_haste=True)

    def learn_boot(self) -> None:
        """Have :attr:`boot_splats` complete without running anything; raises as :meth:`prepare`.

        Where no machine can be saved, that takes one that is booted.
        """
        self.prepare()
        if self._saved is None:
            with self.boot():
                pass

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it :meth:`start` may be called; leaving it waits for what that began."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._drop_first)
            try:
                yield
            except BaseException:
                if self._saving:
                    self._saving.end()
                raise
        if self._settled(self.deadline) and self.standby:
            self._restock(self.standby)

    def _restock(self, standby: Standby) -> None:
        booted, loaded = self.factory.cache_keys()
        if booted != loaded:
            standby.restock(self.factory, partial(Store(self.cache, Silent()).find, booted))

    def _drop_first(self) -> None:
        if first := self._take_first():
            first.stack.close()

    def _begin(self, *, in_haste: bool) -> None:
        if self._prepared:
            return
        self._prepared = True
        source = None
        try:
            if self.snapshots:
                if why := self.factory.cannot_save():
                    raise CannotSaveError(why)
                source = self._with_modules(in_haste=in_haste)
        except CannotSaveError as error:
            self._boot_each(error)
        finally:
            self._write_script(source)

    def _boot_each(self, error: CannotSaveError) -> None:
        self.observer.notice(f"each machine is booted: {error.what}")

    def _write_script(self, source: Snapshot | None) -> None:
        """Write a script that boots the same machine by hand, with the keys of the saved one."""
        folder = self.folder / snapshot.KEYS
        if source:
            shutil.copytree(source.keys, folder, dirs_exist_ok=True)
            keys = ssh_keys.load_keys(folder)
        else:
            keys = ssh_keys.make_keys(folder, self.factory.image.host_key_type)
        spec = self.factory.spec(self.folder, keys.fw_cfg, Path())
        script = self.folder / "qemu.sh"
        script.write_text(qemu_argv.script(spec, keys.client_key))
        script.chmod(0o755)

    # --- machines --------------------------------------------------------------------

    @contextlib.contextmanager
    def boot(self, deadline: Deadline | None = None) -> Iterator[BootedGuest]:
        """Lend a machine with its modules loaded, and a session in it; leaving stops it.

        Any number of threads may be in here at once, after :meth:`prepare` or :meth:`start`.
        Raises as those do.
        """
        if not self._prepared:
            self.prepare()
        limit = deadline or self.deadline
        with contextlib.ExitStack() as stack:
            if first := self._take_first():
                stack.enter_context(first.stack)
                yield first.guest
            else:
                yield stack.enter_context(
                    self._in_own_folder(lambda own, folder: self._enter(own, folder, limit))
                )

    def _take_first(self) -> _First | None:
        with self._lock:
            first, self._first = self._first, None
        return first

    @contextlib.contextmanager
    def _in_own_folder(
        self, enter: Callable[[contextlib.ExitStack, Path], BootedGuest]
    ) -> Iterator[BootedGuest]:
        folder = self._new_folder()
        with contextlib.ExitStack() as stack:
            guest = enter(stack, folder)
            yield guest
            died = guest.machine.dead()
        if not died:  # a machine that served to its end leaves no evidence to keep
            shutil.rmtree(folder)

    def _new_folder(self) -> Path:
        """Make a folder for a machine; an earlier run into this folder may have left some."""
        while True:
            folder = self.folder / "machines" / str(next(self._numbers))
            with contextlib.suppress(FileExistsError):
                folder.mkdir(parents=True)
                return folder

    def _enter(self, stack: contextlib.ExitStack, folder: Path, deadline: Deadline) -> BootedGuest:
        saved = self._settled(deadline)
        if saved is None:
            return self._booted(stack, folder, deadline)
        try:
            return stack.enter_context(self.factory.restored(folder, saved, deadline))
        except (MachineLostError, OSError) as error:
            # Its checksums were right, so QEMU does not like it, or it was pruned. The next run
            # saves a new one.
            self._saved = None
            self._store.discard(saved)
            self.observer.notice(f"a saved machine cannot be restored, and one is booted: {error}")
            again = folder / "booted"
            again.mkdir()
            return self._booted(stack, again, deadline)

    def _booted(self, stack: contextlib.ExitStack, folder: Path, deadline: Deadline) -> BootedGuest:
        guest = stack.enter_context(self.factory.booted(folder, deadline))
        self._complained(guest.boot_splats)
        return guest

    def _complained(self, splats: tuple[Splat, ...]) -> None:
        with self._lock:
            self._boot_splats = merged(self._boot_splats, splats)

    # --- saved machines ----------------------------------------------------------------

    def _with_modules(self, *, in_haste: bool) -> Snapshot:
        """Have a machine with its modules to restore from, in a stage for each step; return one.

        ``in_haste`` it may still have to be saved, and the first machine is there instead.
        """
        booted, loaded = self.factory.cache_keys()
        cached = self._store.find(loaded)

        def boot() -> tuple[Snapshot, bool, str]:
            saved = cached or self._store.find(booted)
            return saved or self._saved_booted(booted), bool(saved), "saved"

        def modules() -> tuple[Snapshot, bool, str]:
            if cached:
                return cached, True, "saved"
            complaints: tuple[Splat, ...] = ()
            if in_haste and not base.splats:
                complaints = self._hurry(base, loaded)
                if not complaints:
                    return base, False, "loaded"
            self._complained(complaints)
            return self._saved_loaded(base, loaded, self.deadline, complaints), False, "saved"

        saved = base = self.stages.run("boot", boot)
        if loaded != booted:
            saved = self.stages.run("modules", modules)
        console = self.folder / snapshot.CONSOLE
        shutil.copyfile(saved.console, console)
        if self._first:
            with console.open("a") as log:
                log.write(self._first.guest.machine.console())
        if not self._saving:
            self._saved = saved
        self._complained(saved.splats)
        return saved

    def _hurry(self, base: Snapshot, key: str) -> tuple[Splat, ...]:
        """Make the first machine from ``base`` and begin to save another that is the same.

        Where its kernel complains, return that and do nothing else: the first program on that
        machine would be blamed.
        """

        def enter(stack: contextlib.ExitStack, folder: Path) -> BootedGuest:
            booted = base.path.name
            if kept := self.standby and self.standby.take(booted, folder, self.deadline):
                stack.enter_context(kept[0])
                return self.factory.with_modules(kept[1], self.deadline)
            return stack.enter_context(self.factory.loaded(folder, base, self.deadline))

        with contextlib.ExitStack() as stack:
            guest = stack.enter_context(self._in_own_folder(enter))
            if guest.boot_splats:
                return guest.boot_splats
            self._first = _First(stack.pop_all(), guest)
        self._saving = Background(
            "saving",
            partial(self._saved_aside, base, key),
            self.deadline,
            what="waiting for a machine to be saved",
        )
        return ()

    def _saved_booted(self, key: str) -> Snapshot:
        def fill(into: Path) -> None:
            self.factory.save_booted(into, self.folder, self.deadline)

        return self._store.make(key, f"boot {self.kernel.release}", fill, self.deadline)

    def _saved_loaded(
        self, base: Snapshot, key: str, deadline: Deadline, seen: tuple[Splat, ...] = ()
    ) -> Snapshot:
        def fill(into: Path) -> None:
            own = self.folder / "machines/modules"
            own.mkdir(parents=True, exist_ok=True)
            self.factory.save_loaded(base, into, own, deadline, seen)
            shutil.rmtree(own)

        return self._store.make(key, f"modules {self.kernel.release}", fill, deadline)

    def _saved_aside(self, base: Snapshot, key: str, deadline: Deadline) -> Snapshot | None:
        try:
            return self._saved_loaded(base, key, deadline)
        except CannotSaveError as error:
            self._boot_each(error)
            return None

    def _settled(self, deadline: Deadline) -> Snapshot | None:
        """Wait until nothing is being saved; return the machine to restore from.

        None: each is booted.
        """
        if saving := self._saving:
            saved = saving.result(deadline)
            with self._lock:
                if self._saving is saving:
                    self._saving, self._saved = None, saved
                    self._boot_splats = merged(self._boot_splats, saved.splats if saved else ())
        return self._saved
