"""Shared libraries for programs of a suite that cannot be linked statically.

Such a program needs a library of its own suite, a sanitizer, or an address that only a
position-independent one has. A guest may have no libc, or another one than this host. So the
program looks for its loader and libraries in a folder of its suite, and those of the compiler are
copied there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.formats import elf
from toolkit.host import process
from toolkit.kernel.kbuild import Builder
from toolkit.testing.guest_program import FOLDER, LIBRARIES

_NAME = re.compile(r"[\w.+-]+")


def flags(suite: str, arch: Arch) -> str:
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
    pending = [builder.arch.loader]
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
