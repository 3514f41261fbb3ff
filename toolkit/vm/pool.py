"""Machines for one run: each with the run's kernel and its modules, each as good as new.

A kernel is booted once; the machine is saved as soon as SSH listens (``boot``), and once more with
its modules loaded (``modules``). Every machine of every run is then restored from the latter: in a
fraction of a second, with a random pool and a clock of its own. After an edit of a module, the
first machine is restored from the former and gets the new modules, while another one with them is
saved beside it. Where QEMU cannot save a machine, each is booted instead.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import MachineLostError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import StageRecord
from toolkit.core.observer import Observer
from toolkit.host.cache import Cache
from toolkit.vm import capacity, qemu_argv, snapshot, ssh_keys
from toolkit.vm.factory import CannotSaveError, Lent, MachineFactory
from toolkit.vm.snapshot import Snapshot, Store

_POLL = 0.1


@dataclass(frozen=True, slots=True)
class _First:
    """A machine that waits for who asks first; leaving the stack stops it."""

    stack: contextlib.ExitStack
    lent: Lent


class _Saving:
    """A machine that a thread saves, while other machines work."""

    def __init__(self, save: Callable[[Deadline], Snapshot | None], deadline: Deadline) -> None:
        self._deadline = deadline.cancellable()
        self._saved: concurrent.futures.Future[Snapshot | None] = concurrent.futures.Future()
        threading.Thread(target=self._work, args=(save,), name="saving", daemon=True).start()

    def _work(self, save: Callable[[Deadline], Snapshot | None]) -> None:
        try:
            self._saved.set_result(save(self._deadline))
        except BaseException as error:  # noqa: BLE001 - raised again by who asks for the machine
            self._saved.set_exception(error)

    def result(self, deadline: Deadline) -> Snapshot | None:
        """Wait for what ``save`` returns; raise what it raises, or :class:`DeadlineError`."""
        while not self._saved.done():
            deadline.check("waiting for a machine to be saved")
            concurrent.futures.wait([self._saved], timeout=_POLL)
        return self._saved.result()

    def end(self) -> None:
        """Let it stop as soon as it can, and wait for that."""
        self._deadline.cancel()
        concurrent.futures.wait([self._saved])


@dataclass(slots=True)
class MachinePool:
    """Where a run's machines come from, and where their evidence goes.

    ``on_boot_splats`` hears what a kernel complained of before its machine was ready, and
    ``stages`` gets a record of how the machines were made. ``snapshots`` False boots each.
    """

    maker: MachineFactory
    cache: Cache
    folder: Path
    observer: Observer
    deadline: Deadline
    stages: list[StageRecord]
    on_boot_splats: Callable[[str, tuple[Splat, ...]], None]
    snapshots: bool = True
    _store: Store = field(init=False)
    _prepared: bool = field(default=False, init=False)
    _saved: Snapshot | None = field(default=None, init=False)
    _saving: _Saving | None = field(default=None, init=False)
    _first: _First | None = field(default=None, init=False)
    _late: tuple[Splat, ...] = field(default=(), init=False)  # not told yet: seen while saving
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)  # for these four
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), init=False)

    def __post_init__(self) -> None:
        self._store = Store(self.cache, self.observer)

    @property
    def kernel(self) -> KernelBuild:
        """The kernel of these machines."""
        return self.maker.kernel

    def room(self) -> int:
        """Return how many machines may work at a time."""
        made_of = self.maker
        config = self.kernel.config.read_text()
        return capacity.machines(made_of.image, made_of.accelerator.name, config)

    def identity(self) -> str:
        """Return a digest of all that a machine is made of: kernel, modules, image, QEMU …."""
        return self.maker.cache_keys()[1]

    # --- before the first machine is asked for ----------------------------------------

    def prepare(self) -> None:
        """Have a saved machine to restore from, made now where the cache has none.

        Raises :class:`BootError` when the kernel does not come up, and
        :class:`MachineLostError` when QEMU does not.
        """
        self._begin(in_haste=False)
        self._conclude()

    def start(self) -> None:
        """Have a machine for who asks first, and others soon; to be called within :meth:`in_use`.

        With a saved machine in the cache it is :meth:`prepare`. Raises as that does.
        """
        self._begin(in_haste=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it :meth:`start` may be called; what that began has ended on leaving."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._drop_first)
            try:
                yield
            except BaseException:
                if self._saving:
                    self._saving.end()
                raise
        self._conclude()

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
            made = ssh_keys.load_keys(folder)
        else:
            made = ssh_keys.make_keys(folder, self.maker.image.host_key_type)
        spec = self.maker.spec(self.folder, made.fw_cfg, Path())
        script = self.folder / "qemu.sh"
        script.write_text(qemu_argv.script(spec, made.client_key))
        script.chmod(0o755)

    # --- machines --------------------------------------------------------------------

    @contextlib.contextmanager
    def boot(self, deadline: Deadline | None = None) -> Iterator[Lent]:
        """Give a machine with its modules loaded, and a session in it; leaving stops it.

        Any number of threads may be in here at once, after :meth:`prepare` or :meth:`start`.
        Raises as those do.
        """
        if not self._prepared:
            self.prepare()
        limit = deadline or self.deadline
        with contextlib.ExitStack() as stack:
            if first := self._take_first():
                stack.enter_context(first.stack)
                yield first.lent
            else:
                yield stack.enter_context(
                    self._in_own_folder(lambda own, folder: self._enter(own, folder, limit))
                )

    def _take_first(self) -> _First | None:
        with self._lock:
            first, self._first = self._first, None
        return first

    @contextlib.contextmanager
    def _in_own_folder(self, enter: Callable[[contextlib.ExitStack, Path], Lent]) -> Iterator[Lent]:
        folder = self.folder / "machines" / str(next(self._numbers))
        folder.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            lent = enter(stack, folder)
            yield lent
            died = lent[0].dead()
        if not died:  # of a machine that served to its end nothing is left to tell
            shutil.rmtree(folder)

    def _enter(self, stack: contextlib.ExitStack, folder: Path, deadline: Deadline) -> Lent:
        saved = self._settled(deadline)
        if saved is None:
            return stack.enter_context(self.maker.booted(folder, deadline))
        try:
            return stack.enter_context(self.maker.restored(folder, saved, deadline))
        except (MachineLostError, OSError) as error:
            # Its sums were right, so QEMU does not like it, or it was pruned. The next run makes a
            # new one.
            self._saved = None
            self._store.discard(saved)
            self.observer.notice(f"a saved machine cannot be restored, and one is booted: {error}")
            again = folder / "booted"
            again.mkdir()
            return stack.enter_context(self.maker.booted(again, deadline))

    # --- saved machines ----------------------------------------------------------------

    def _with_modules(self, *, in_haste: bool) -> Snapshot:
        """Have a machine with its modules to restore from, a record for each step; return one.

        ``in_haste`` it may still have to be saved, and the first machine is there instead.
        """
        booted, loaded = self.maker.cache_keys()
        found = self._store.find(loaded)
        complaints: tuple[Splat, ...] = ()

        def boot() -> tuple[Snapshot, bool, str]:
            saved = found or self._store.find(booted)
            return saved or self._saved_booted(booted), bool(saved), "saved"

        def modules() -> tuple[Snapshot, bool, str]:
            nonlocal complaints
            if found:
                return found, True, "saved"
            if in_haste and not base.splats:
                complaints = self._hurry(base, loaded)
                if not complaints:
                    return base, False, "loaded"
            return self._saved_loaded(base, loaded, self.deadline), False, "saved"

        saved = base = self._stage("boot", boot)
        if loaded != booted:
            saved = self._stage("modules", modules)
        console = self.folder / snapshot.CONSOLE
        shutil.copyfile(saved.console, console)
        if self._first:
            with console.open("a") as log:
                log.write(self._first.lent[0].console())
        if not self._saving:
            self._saved = saved
        self.on_boot_splats("boot", saved.splats or complaints)
        return saved

    def _stage(self, name: str, work: Callable[[], tuple[Snapshot, bool, str]]) -> Snapshot:
        """Run one step; ``work`` returns what it gave, whether that was found, and a word on it."""
        self.observer.stage_started(name)
        began = time.monotonic()
        try:
            saved, found, detail = work()
        except BaseException:
            self.observer.stage_failed(name)
            raise
        record = StageRecord(name, round(time.monotonic() - began, 3), found, detail)
        self.stages.append(record)
        self.observer.stage_finished(record)
        return saved

    def _hurry(self, base: Snapshot, key: str) -> tuple[Splat, ...]:
        """Make the first machine from ``base`` and begin to save one that is the same.

        What its kernel complains of is returned, and nothing else done then: who uses that machine
        would be blamed.
        """

        def enter(stack: contextlib.ExitStack, folder: Path) -> Lent:
            return stack.enter_context(self.maker.loaded(folder, base, self.deadline))

        with contextlib.ExitStack() as stack:
            lent = stack.enter_context(self._in_own_folder(enter))
            if complaints := lent[0].splats():
                return complaints
            self._first = _First(stack.pop_all(), lent)
        self._saving = _Saving(lambda limit: self._saved_aside(base, key, limit), self.deadline)
        return ()

    def _saved_booted(self, key: str) -> Snapshot:
        def fill(into: Path) -> None:
            self.maker.save_booted(into, self.folder, self.deadline)

        return self._store.make(key, f"boot {self.kernel.release}", fill, self.deadline)

    def _saved_loaded(self, base: Snapshot, key: str, deadline: Deadline) -> Snapshot:
        def fill(into: Path) -> None:
            own = self.folder / "machines/modules"
            own.mkdir(parents=True, exist_ok=True)
            self.maker.save_loaded(base, into, own, deadline)
            shutil.rmtree(own)

        return self._store.make(key, f"modules {self.kernel.release}", fill, deadline)

    def _saved_aside(self, base: Snapshot, key: str, deadline: Deadline) -> Snapshot | None:
        try:
            return self._saved_loaded(base, key, deadline)
        except CannotSaveError as error:
            self._boot_each(error)
            return None

    def _settled(self, deadline: Deadline) -> Snapshot | None:
        """Return the machine to restore from, as soon as it is saved; None: each is booted."""
        if saving := self._saving:
            saved = saving.result(deadline)
            with self._lock:
                if self._saving is saving:
                    self._saving, self._saved = None, saved
                    self._late = saved.splats if saved else ()
        return self._saved

    def _conclude(self) -> None:
        """Wait until nothing is being saved, and tell what came of it."""
        self._settled(self.deadline)
        with self._lock:
            late, self._late = self._late, ()
        if late:
            self.on_boot_splats("boot", late)
