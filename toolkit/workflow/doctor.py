"""What this host has and lacks for the toolkit, and which accelerator its machines would use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

from toolkit.core.arch import host_arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolMissingError, UserError
from toolkit.core.paths import Paths
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache, check_path, why_unwritable
from toolkit.kernel import toolchain
from toolkit.kernel.kbuild import KERNEL
from toolkit.vm import accelerator, qmp

_NEEDED_BYTES = 8 << 30  # one base unpacked twice, one build folder, what it left in the store


@dataclass(frozen=True, slots=True)
class Program:
    """A program or file the toolkit needs, Debian's package for it, and what it is for."""

    name: str
    package: str
    purpose: str
    optional: bool = False

    def found(self) -> str:
        """Return where it is, or "" when the host lacks it."""
        if self.name.startswith("/"):
            return self.name if Path(self.name).exists() else ""
        try:
            return process.find(self.name, self.package)
        except ToolMissingError:
            return ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``good`` None for what is only told."""

    good: bool | None
    text: str


def programs() -> tuple[Program, ...]:
    """Return the list that ./bootstrap installs from."""
    text = resources.files("toolkit.workflow").joinpath("host-programs.txt").read_text()
    return tuple(_program(line) for line in text.splitlines() if line and line[0] != "#")


def _program(line: str) -> Program:
    name, package, purpose = line.split(None, 2)
    return Program(name.removeprefix("?"), package, purpose, name.startswith("?"))


def examine_accelerator(cache: Cache, deadline: Deadline, *, again: bool) -> Iterator[Finding]:
    """Yield which accelerator `--accel auto` would take, and why.

    Where KVM can run machines, but none with a KVM of their own, there are two. The proof that KVM
    can do the job needs a kernel to boot: the newest one that was built.
    """
    arch = host_arch()
    try:
        binary = process.find(arch.qemu, arch.qemu_package)
    except ToolMissingError as error:
        yield Finding(False, f"accelerator: none, since {error.what}")
        return
    newest = cache.newest("build")
    kernel = newest / KERNEL if newest else None
    facts = accelerator.look()
    for nested in (True, False):
        chosen, remembered = accelerator.probe(
            "auto", binary, kernel, cache, deadline, nested=nested, again=again, facts=facts
        )
        when = "remembered" if remembered else "tried just now"
        one = nested and (chosen.name == "kvm" or bool(facts.fault))
        job = "" if one else " with KVM in the guest" if nested else " without KVM in the guest"
        yield Finding(None, f"accelerator{job}: {chosen.name} ({chosen.reason}; {when})")
        if one:
            return


def examine_host(places: Paths) -> Iterator[Finding]:
    """Yield a finding for each program, for the folders the toolkit writes to and for the disk."""
    lacking = []
    for program in programs():
        where = program.found()
        if not where and program.optional:
            text = f"{program.name}: not there, and optional ({program.purpose})"
            yield Finding(None, f"{text}; package {program.package}")
            continue
        if not where:
            lacking.append(program.package)
        yield Finding(bool(where), f"{program.name}: {where or 'missing'} ({program.purpose})")
    if lacking:
        yield Finding(False, f"install: apt-get install {' '.join(sorted(set(lacking)))}")
    yield _examine_sandbox()
    yield from _examine_folder(places.cache, "XDG_CACHE_HOME", _NEEDED_BYTES)
    yield from _examine_folder(places.runs, "XDG_STATE_HOME")
    temporary = tempfile.gettempdir()
    yield from _examine_folder(Path(temporary), "TMPDIR")
    for check in (partial(check_path, places.cache), partial(qmp.check_folder, temporary)):
        try:
            check()
        except UserError as error:
            yield Finding(False, f"{error.what}; {error.hint}")


def _examine_sandbox() -> Finding:
    """Return whether what a build runs is confined here; a build goes on where it is not."""
    support = sandbox.probe()
    if support.options is None:
        return Finding(
            None, f"sandbox: none, so what a build runs can do all that you can ({support.detail})"
        )
    kept = "" if "--unshare-user" in support.options else "; without user name spaces"
    return Finding(True, f"sandbox: {support.detail}: what a build runs is confined{kept}")


def examine_toolchains(deadline: Deadline) -> Iterator[Finding]:
    """Yield a finding for each toolchain that is here, and for clang where it is not.

    What the default, gcc, lacks is among the programs of :func:`examine_host`.
    """
    here = toolchain.installed()
    for each in here:
        yield Finding(True, f"--toolchain {each.name}: {each.version(deadline)}")
    if toolchain.CLANG not in here:
        lacking = toolchain.CLANG.missing()
        command = toolchain.installing(list(lacking.values()))
        text = f"--toolchain clang: lacks {', '.join(lacking)}, and is optional"
        yield Finding(None, f"{text}; install: {command}")


def _examine_folder(folder: Path, variable: str, needed: int = 0) -> Iterator[Finding]:
    """Yield whether ``folder``, which ``variable`` places, can be written and has ``needed`` bytes.

    How much is free is not told where nothing can be written.
    """
    if reason := why_unwritable(folder):
        hint = f"set {variable} to a folder that you may write"
        yield Finding(False, f"{folder}: cannot be written: {reason}; {hint}")
    elif needed:
        free = shutil.disk_usage(folder).free
        text = f"{free >> 30} GiB free below {folder} (a first run takes about {needed >> 30})"
        yield Finding(free >= needed, text)
    else:
        yield Finding(True, f"{folder}: can be written")
