"""How programs of the tree's own selftests are linked: statically, or with shared libraries.

A guest may have no libc, or another one than this host, so what can be linked statically is. The
rest needs a library of its own suite, a sanitizer, dlopen(), or an address that only a
position-independent program has. Such a program looks for its loader and libraries in a folder of
its suite, and those of the compiler are copied there.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.formats import elf
from toolkit.host import process
from toolkit.host.cache import digest
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.toolchain import Toolchain
from toolkit.testing.guest_program import FOLDER, LIBRARIES

_NAME = re.compile(r"[\w.+-]+")
# glibc opens it for pthread_cancel() and pthread_exit() (misc/unwind-link.c): no program names it.
_UNWINDER = "libgcc_s.so.1"
_LINK_MODE = Path(__file__).with_name("link_mode.sh")


def recipe(arch: Arch) -> str:
    """Return a digest of how programs are linked and what comes along: a part of a suite's key."""
    return digest(_LINK_MODE.read_bytes(), _flags("", arch), _UNWINDER)


def wrap(toolchain: Toolchain, suite: str, arch: Arch, folder: Path) -> str:
    """Make a compiler in ``folder`` that chooses the link mode of each program; return make's CC.

    It goes by the compiler's own name, which some Makefiles look at, and finds that on the PATH.
    """
    folder.mkdir(exist_ok=True)
    program = folder / toolchain.compiler
    settings = {"compiler": toolchain.compiler, "shared": _flags(suite, arch)}
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in settings.items()]
    program.unlink(missing_ok=True)
    program.write_text(f"#!/bin/sh\n{''.join(lines)}\n{_LINK_MODE.read_text()}")
    program.chmod(0o755)
    return " ".join([str(program), *toolchain.compiling[1:]])


def _flags(suite: str, arch: Arch) -> str:
    """Return what the compiler is given so that a program finds its libraries in the guest."""
    place = f"{FOLDER}/{suite}/{LIBRARIES}"
    return (
        f"-Wl,--dynamic-linker={place}/{arch.loader} "
        # DT_RUNPATH would hold for the program alone, and not for what its libraries need.
        f"-Wl,-rpath,{place},--disable-new-dtags"
    )


def gather(installed: Path, suite: str, builder: Builder, deadline: Deadline) -> None:
    """Copy beside the programs of an installed suite the libraries that they need, if any.

    A library that the compiler does not know is left out: the loader names it in the guest.
    """
    loader = f"{FOLDER}/{suite}/{LIBRARIES}/{builder.arch.loader}"
    dynamic = [path for path in _files(installed) if _wants(path).interpreter == loader]
    if not dynamic:
        return
    own = {path.name for path in _files(installed)}
    pending = [builder.arch.loader, _UNWINDER]
    pending += [name for path in dynamic for name in _wants(path).libraries]
    folder = installed / LIBRARIES
    folder.mkdir()
    while pending:
        name = pending.pop()
        if name in own or (folder / name).exists() or not _NAME.fullmatch(name):
            continue
        argv = [*builder.toolchain.compiling, f"-print-file-name={name}"]
        place = Path(process.run(argv, deadline=deadline, inherit=process.CLEAN).text.strip())
        if not place.is_absolute():  # the name alone: there is none
            continue
        shutil.copyfile(place, folder / name)
        (folder / name).chmod(0o755)
        pending += _wants(folder / name).libraries


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _wants(path: Path) -> elf.Wants:
    try:
        return elf.wants(path.read_bytes())
    except ValueError:
        return elf.Wants()
