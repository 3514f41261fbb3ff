"""Make the modules of an edited source again by the commands that kbuild recorded.

Before make compiles anything, it runs the compiler some fifty times to see what it can do, and
checks everything that a build prepares (1.4 to 2.3 s of an edit's 2.5 to 3.4 s). Where only the
content of files has changed, neither gives anything new. kbuild writes each command beside what
it makes (``.NAME.cmd``, scripts/Kbuild.include), and here they run in kbuild's own order: the
objects (scripts/Makefile.build), modpost (scripts/Makefile.modpost), and the modules themselves
(scripts/Makefile.modfinal). The records are written as kbuild writes them, so that make goes
on from here.
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
from toolkit.host import process, sandbox
from toolkit.kernel.incremental import affected
from toolkit.kernel.make import REPRODUCIBLE, Make

Step = Callable[[str], None]

# With these kbuild does more to an object or a module than the command that it records.
MORE = (
    "CONFIG_MODVERSIONS=y",
    "CONFIG_FTRACE_MCOUNT_USE_RECORDMCOUNT=y",
    "CONFIG_DEBUG_INFO_BTF_MODULES=y",
    "CONFIG_LTO_CLANG=y",
)
# scripts/basic/fixdep.c writes this, with "cmd_" alone before Linux 6.3.
COMPILED = re.compile(
    r"(?:saved)?cmd_(?P<target>\S+) := (?P<command>.*)\n\nsource_(?P=target) := \S+\.c\n"
)
LINKED = re.compile(r"(?:saved)?cmd_(?P<target>\S+) := (?P<command>.*)")
DEPENDENCIES = re.compile(r"-Wp,-MM?D,(\S+)")
_ESCAPED = re.compile(r"\$\$|\$\(pound\)")  # make-cmd in scripts/Kbuild.include
_MODPOST = Path(".Module.symvers.cmd")
_FIXDEP = "scripts/basic/fixdep"


def unescaped(recorded: str) -> str:
    """Return a recorded command as the shell gets it."""
    return _ESCAPED.sub(lambda match: "$" if match[0] == "$$" else "#", recorded)


class _RecordError(Exception):
    """A .cmd file that does not look as it should."""


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
    """Make those of ``names`` again that depend on ``records``; return whether that worked.

    ``names`` are all modules of a finished build in ``make.output`` (``arch/x86/kvm/kvm.ko``),
    ``records`` the .cmd files of those objects of theirs that have to be compiled, ``config`` the
    configuration's text; ``step`` gets a line for each command. After False make has to do it, and
    says what is wrong if something is. Raises :class:`DeadlineError` as the commands do.
    """
    if not set(MORE).isdisjoint(config.splitlines()) or not (make.output / _FIXDEP).is_file():
        return False
    try:
        # A linker that is killed leaves a half-made module, newer than what it is made of.
        with sandbox.unfinished(make.output):
            _Replay(make, step).run(names, records)
    except (_RecordError, ToolFailedError, OSError, UnicodeDecodeError):
        return False
    return not sandbox.sweep(make.output, links_to=[make.source])


@dataclass(frozen=True, slots=True)
class _Replay:
    make: Make
    step: Step
    lock: threading.Lock = field(default_factory=threading.Lock)  # for ``step`` and the log

    def run(self, names: Sequence[str], records: Collection[Path]) -> None:
        if not records:
            return
        modules = [self._module(name.removesuffix(".ko")) for name in names]
        descriptions = {module.record(".mod.o") for module in modules}
        compiled = self._compile_all([each for each in records if each not in descriptions])
        linked = [module for module in modules if not compiled.isdisjoint(module.parts)]
        for module in linked:
            if f"{module.stem}.o" not in module.parts:
                self._link(module.record(".o"))
        before = {module: self._description_time(module) for module in modules}
        self._link(_MODPOST)
        described = [
            module
            for module in modules
            if self._description_time(module) != before[module]
            or module.record(".mod.o") in records
        ]
        self._compile_all([module.record(".mod.o") for module in described])
        for module in modules:
            if module in linked or module in described:
                self._link(module.record(".ko"))

    def _module(self, stem: str) -> _Module:
        return _Module(stem, affected.objects(self.make.output, stem))

    def _description_time(self, module: _Module) -> int:
        """Return when modpost last wrote a module's description (NAME.mod.c)."""
        return (self.make.output / f"{module.stem}.mod.c").stat().st_mtime_ns

    def _compile_all(self, records: Sequence[Path]) -> set[str]:
        """Compile objects, several at a time, and return their paths."""
        with ThreadPoolExecutor(self.make.jobs) as pool:
            return set(pool.map(self._compile, records))

    def _compile(self, record: Path) -> str:
        place = self.make.output / record
        text = place.read_text()
        match = COMPILED.match(text)
        if not match or not (depends := DEPENDENCIES.search(match["command"])):
            raise _RecordError(record)
        target, command = match["target"], match["command"]
        # make compiles an object without a record again, whatever happens here.
        place.unlink()
        self._shell(f"  CC [M]  {os.path.normpath(target)}", command)
        dependencies = self.make.output / depends[1]
        argv = [str(self.make.output / _FIXDEP), depends[1], target, command]
        fixdep = process.run(
            argv,
            cwd=self.make.output,
            deadline=self.make.deadline,
            inherit=process.CLEAN,
            within=self.make.confined(),
        )
        # What follows the list of dependencies is not fixdep's.
        _, end_of_list, rest = text.partition(f"\n$(deps_{target}):\n")
        if not end_of_list:
            raise _RecordError(record)
        dependencies.unlink()
        place.write_bytes(fixdep.stdout + rest.encode())
        return os.path.normpath(target)

    def _link(self, record: Path) -> None:
        match = LINKED.match((self.make.output / record).read_text())
        if not match:
            raise _RecordError(record)
        self._shell(f"  LD [M]  {match['target']}", match["command"])

    def _shell(self, step: str, recorded: str) -> None:
        command = unescaped(recorded)
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
            inherit=process.CLEAN,
            log=make.log,
            merge=True,
            within=make.confined(),
        )
