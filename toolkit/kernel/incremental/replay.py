"""Makes the modules of an edited source anew by the commands that kbuild has recorded.

Before make compiles anything, it asks the compiler some fifty times what it can do, and looks at
all that a build prepares (1.4 to 2.3 s of an edit's 2.5 to 3.4 s). Where only the text of known
files has changed, neither gives anything new. kbuild writes each command beside what it makes
(``.NAME.cmd``, scripts/Kbuild.include), and here they run in kbuild's own order: the objects
(scripts/Makefile.build), modpost (scripts/Makefile.modpost), and the modules themselves
(scripts/Makefile.modfinal). The records are written as kbuild writes them, so that make goes on
from here.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.errors import ToolFailedError
from toolkit.host import process
from toolkit.kernel.incremental import affected
from toolkit.kernel.make import REPRODUCIBLE, Make

Step = Callable[[str], None]

# With these kbuild does more to an object or a module than the command that it records.
_MORE = (
    "CONFIG_MODVERSIONS=y",
    "CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT=y",
    "CONFIG_DEBUG_INFO_BTF_MODULES=y",
    "CONFIG_LTO_CLANG=y",
)
# scripts/basic/fixdep.c writes this, with "cmd_" alone before Linux 6.3.
_COMPILED = re.compile(
    r"(?:saved)?cmd_(?P<target>\S+) := (?P<command>.*)\n\nsource_(?P=target) := \S+\.c\n"
)
_LINKED = re.compile(r"(?:saved)?cmd_(?P<target>\S+) := (?P<command>.*)")
_DEPENDENCIES = re.compile(r"-Wp,-MM?D,(\S+)")
_ESCAPED = re.compile(r"\$\$|\$\(pound\)")  # make-cmd in scripts/Kbuild.include
_MODPOST = Path(".Module.symvers.cmd")
_FIXDEP = "scripts/basic/fixdep"


class _UnknownError(Exception):
    """A record that is not there, or does not look as it should."""


@dataclass(frozen=True, slots=True)
class _Module:
    """One module's files, relative to the build folder, and the objects that it consists of."""

    stem: str
    parts: frozenset[str]

    def record(self, end: str) -> Path:
        path = Path(self.stem + end)
        return path.with_name(f".{path.name}.cmd")


def modules(
    make: Make, config: str, names: Sequence[str], records: Collection[Path], step: Step
) -> bool:
    """Make anew what of ``names`` depends on the objects of ``records``; return whether it is.

    ``names`` are all modules of a finished build in ``make.output`` (``arch/x86/kvm/kvm.ko``),
    ``records`` the .cmd files of those objects of theirs that have to be compiled, ``config`` the
    configuration's text; ``step`` hears of each command. False: kbuild itself has to see to it, and
    says what is wrong if something is. Raises :class:`DeadlineError` as the commands do.
    """
    if not set(_MORE).isdisjoint(config.splitlines()) or not (make.output / _FIXDEP).is_file():
        return False
    try:
        _Replay(make, step).run(names, records)
    except (_UnknownError, ToolFailedError, OSError, UnicodeDecodeError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Replay:
    make: Make
    step: Step
    lock: threading.Lock = field(default_factory=threading.Lock)  # who is told has one caller

    def run(self, names: Sequence[str], records: Collection[Path]) -> None:
        if not records:
            return
        every = [self._module(name.removesuffix(".ko")) for name in names]
        described = {module.record(".mod.o") for module in every}
        made = self._compiled([each for each in records if each not in described])
        linked = [module for module in every if not made.isdisjoint(module.parts)]
        for module in linked:
            if f"{module.stem}.o" not in module.parts:
                self._link(module.record(".o"))
        before = {module: self._described(module) for module in every}
        self._link(_MODPOST)
        told = [
            module
            for module in every
            if self._described(module) != before[module] or module.record(".mod.o") in records
        ]
        self._compiled([module.record(".mod.o") for module in told])
        for module in every:
            if module in linked or module in told:
                self._link(module.record(".ko"))

    def _module(self, stem: str) -> _Module:
        return _Module(stem, affected.objects(self.make.output, stem))

    def _described(self, module: _Module) -> int:
        """Return what changes when modpost writes what it has found of a module."""
        return (self.make.output / f"{module.stem}.mod.c").stat().st_mtime_ns

    def _compiled(self, records: Sequence[Path]) -> set[str]:
        """Compile objects, several at a time, and return their paths."""
        with ThreadPoolExecutor(self.make.jobs) as pool:
            return set(pool.map(self._compile, records))

    def _compile(self, record: Path) -> str:
        place = self.make.output / record
        text = place.read_text()
        match = _COMPILED.match(text)
        if not match or not (depends := _DEPENDENCIES.search(match["command"])):
            raise _UnknownError(record)
        target, command = match["target"], match["command"]
        # Without its record an object is made again, whatever becomes of this.
        place.unlink()
        self._shell(f"  CC [M]  {os.path.normpath(target)}", command)
        dependencies = self.make.output / depends[1]
        argv = [str(self.make.output / _FIXDEP), depends[1], target, command]
        told = process.run(argv, cwd=self.make.output, deadline=self.make.deadline)
        # What follows the list of dependencies is not fixdep's.
        _, found, rest = text.partition(f"\n$(deps_{target}):\n")
        if not found:
            raise _UnknownError(record)
        dependencies.unlink()
        place.write_bytes(told.stdout + rest.encode())
        return os.path.normpath(target)

    def _link(self, record: Path) -> None:
        match = _LINKED.match((self.make.output / record).read_text())
        if not match:
            raise _UnknownError(record)
        self._shell(f"  LD [M]  {match['target']}", match["command"])

    def _shell(self, step: str, recorded: str) -> None:
        command = _ESCAPED.sub(lambda match: "$" if match[0] == "$$" else "#", recorded)
        make = self.make
        with self.lock:
            self.step(step)
            if make.log:
                with make.log.open("a") as log:
                    log.write(f"{step}\n$ {command}\n")
        process.run(
            ["/bin/sh", "-c", f"set -e; {command}"],
            cwd=make.output,
            deadline=make.deadline,
            env={**REPRODUCIBLE, **make.env},
            log=make.log,
            merge=True,
        )
