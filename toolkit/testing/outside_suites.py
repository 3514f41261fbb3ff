"""Suites that live elsewhere: a folder in kselftest form outside this checkout, or one program.

``--suite DIR`` names a folder with a Makefile as the kernel's own selftests have it; it is built as
one of them. ``--program FILE``, the suite ``program:FILE``, names one script or binary that
is run as it is. Whatever reports no case is judged by its exit status, as in the kernel's own.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from toolkit.core import paths
from toolkit.core.arch import Arch
from toolkit.core.errors import UserError
from toolkit.formats import elf

PROGRAM = "program:"
_PROGRAM_SUITE = "program-"  # what such a suite is called
_MAKEFILE = "Makefile"
_OF_KSELFTEST = re.compile(rb"\b(lib|suite)\.mk\b")
_NAME = re.compile(r"[A-Za-z0-9_][\w.+-]{0,99}", re.ASCII)
MAX_BYTES = 256 << 20  # of one program


def is_path(name: str) -> bool:
    """Return whether a suite's name stands for something outside this checkout."""
    return name.startswith((PROGRAM, "/", "./", "../", "~")) or name in (".", "..")


def place(name: str) -> Path:
    """Return the folder or file that a suite's name stands for."""
    return paths.expand(name.removeprefix(PROGRAM)).absolute()


def name_of(name: str) -> str:
    """Return what the suite is called in the ids of its leaves; ``name`` where it is no path."""
    if not is_path(name):
        return name
    own = Path(os.path.normpath(place(name))).name
    return f"{_PROGRAM_SUITE}{own}" if name.startswith(PROGRAM) else own


def checked(name: str, arch: Arch) -> Path:
    """Return the folder of a suite or the file of a program that a path stands for.

    Raises :class:`UserError` where it is no suite, or a program that a machine of this architecture
    cannot run.
    """
    return _program(name, arch) if name.startswith(PROGRAM) else _folder(name)


def _folder(name: str) -> Path:
    folder = place(name)
    hint = "a suite is a folder in kselftest form; --program FILE runs one program alone"
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise UserError(f"--suite {name}: {folder} {what}", hint=hint)
    if not (folder / _MAKEFILE).is_file():
        raise UserError(f"--suite {name}: {folder} has no Makefile", hint=hint)
    with (folder / _MAKEFILE).open("rb") as file:
        if not _OF_KSELFTEST.search(file.read(1 << 20)):
            raise UserError(f"--suite {name}: {folder}/{_MAKEFILE} includes no lib.mk", hint=hint)
    _check_name(name)
    return folder.resolve()


def _program(name: str, arch: Arch) -> Path:
    file = place(name)
    asked = f"--program {name.removeprefix(PROGRAM)}"
    try:
        info = file.stat()
        if not stat.S_ISREG(info.st_mode):  # a pipe may never answer
            raise UserError(f"{asked}: {file} is no file", hint="name a script or a binary")
        with file.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        hint = "name a script or a binary that is there and that you may read"
        raise UserError(f"{asked}: cannot read {file}: {error.strerror}", hint=hint) from error
    if not info.st_mode & stat.S_IXUSR:
        raise UserError(f"{asked}: {file} is not executable", hint=f"chmod +x {file}")
    if info.st_size > MAX_BYTES:
        raise UserError(f"{asked}: {file} is larger than {MAX_BYTES >> 20} MiB", hint="strip it")
    if head.startswith(elf.MAGIC):
        machine = elf.machine(head)
        if machine not in arch.elf_machines:
            raise UserError(
                f"{asked}: {file} is built for another architecture (ELF machine {machine}), and "
                f"machines are {arch.machine}",
                hint=f"build it for {arch.machine}",
            )
    elif not head.startswith(b"#!"):
        raise UserError(
            f"{asked}: {file} is neither an ELF program nor a script",
            hint="begin a script with #! and its interpreter: #!/bin/sh",
        )
    _check_name(name)
    return file


def _check_name(name: str) -> None:
    own = name_of(name)
    if not _NAME.fullmatch(own):
        raise UserError(
            f"{own!r} cannot be part of a test's id",
            hint="give it a name of letters, digits and ._+-",
        )
