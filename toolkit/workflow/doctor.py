"""What this host has and lacks for the toolkit, and which accelerator its machines would use."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolMissingError, UserError
from toolkit.core.paths import Paths
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache, check_path, why_unwritable
from toolkit.kernel import toolchain
from toolkit.kernel.kbuild import KERNEL
from toolkit.vm import accelerator, qmp
from toolkit.workflow import host_programs

_NEEDED_BYTES = 8 << 30  # one base unpacked twice, one build folder, what it left in the store


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; ``good`` None for what is only told."""

    good: bool | None
    text: str


def examine_accelerator(
    arch: Arch, cache: Cache, deadline: Deadline, *, again: bool
) -> Iterator[Finding]:
    """Yield which accelerator `--accel auto` would take, and why.

    Where KVM can run machines, but none with a KVM of their own, there are two. The proof that KVM
    can do the job needs a kernel to boot: the newest one that was built.
    """
    try:
        binary = process.find(arch.qemu, arch.qemu_package)
    except ToolMissingError as error:
        yield Finding(False, f"accelerator: none, since {error.what}")
        return
    newest = cache.newest("build")
    kernel = newest / KERNEL if newest else None
    facts = accelerator.look(arch)
    for nested in (True, False):
        chosen, remembered = accelerator.probe(
            "auto",
            binary,
            kernel,
            cache,
            deadline,
            arch=arch,
            nested=nested,
            again=again,
            facts=facts,
        )
        when = "remembered" if remembered else "tried just now"
        one = nested and (chosen.name == "kvm" or bool(facts.fault))
        job = "" if one else " with KVM in the guest" if nested else " without KVM in the guest"
        yield Finding(None, f"accelerator{job}: {chosen.name} ({chosen.reason}; {when})")
        if one:
            return


def examine_host(places: Paths, arch: Arch) -> Iterator[Finding]:
    """Yield a finding for each program, for the folders the toolkit writes to and for the disk.

    The programs are those that kernels of this architecture need.
    """
    lacking = []
    for program in host_programs.needed(arch):
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


def examine_toolchains(arch: Arch, deadline: Deadline) -> Iterator[Finding]:
    """Yield a finding for each toolchain for ``arch`` that is here, and for clang where it is not.

    What the default, gcc, lacks is among the programs of :func:`examine_host`.
    """
    here = toolchain.installed(arch.cross)
    for each in here:
        yield Finding(True, f"--toolchain {each.name}: {each.version(deadline)}")
    clang = replace(toolchain.CLANG, triplet=arch.cross)
    if clang not in here:
        lacking = clang.missing()
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
