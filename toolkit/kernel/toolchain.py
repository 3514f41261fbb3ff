"""What compiles and links a kernel and its selftests: gcc with binutils, or clang with LLVM."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolMissingError, UserError
from toolkit.host import process
from toolkit.host.cache import digest

FORMS = "gcc, clang, or one version of them: gcc-11, clang-19"
_NAME = re.compile(r"(gcc|clang)(-[1-9][0-9]{0,2})?")
_FLAG = re.compile(r"--?\w[\w=+.,:/-]*")
# All that LLVM=1 makes kbuild call (Documentation/kbuild/llvm.rst), by Debian's packages.
_LLVM = {
    "clang": "clang",
    "ld.lld": "lld",
    "llvm-ar": "llvm",
    "llvm-nm": "llvm",
    "llvm-objcopy": "llvm",
    "llvm-objdump": "llvm",
    "llvm-readelf": "llvm",
    "llvm-strip": "llvm",
}
_versions: dict[tuple[str, int, int, int], str] = {}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler by the name it is asked for, ``gcc-11`` or ``clang``, and what goes with it.

    ``triplet`` is before the names of a cross compiler's programs; "" for the host's own.
    ``kcflags`` are what kbuild hands to the compiler for every file of the kernel, after its own.
    """

    name: str
    triplet: str = ""
    kcflags: str = ""

    @property
    def is_clang(self) -> bool:
        """Whether it is clang, and LLVM's tools take the place of binutils."""
        return self.name.startswith("clang")

    @property
    def words(self) -> tuple[str, ...]:
        """What the make of a kernel or of its selftests is told; nothing for the default, gcc.

        Host programs are compiled by the same compiler, so that no other one is needed; beside a
        cross compiler that is gcc. clang compiles for any architecture (scripts/Makefile.clang).
        """
        return (*self._programs_words, *([f"KCFLAGS={self.kcflags}"] if self.kcflags else ()))

    @property
    def _programs_words(self) -> tuple[str, ...]:
        if self.is_clang:
            return (f"LLVM={self._suffix or 1}",)
        if self.triplet:
            named = (f"CC={self.compiler}",) if self._suffix else ()
            return (f"CROSS_COMPILE={self._prefix}", *named)
        return (f"CC={self.name}", f"HOSTCC={self.name}") if self._suffix else ()

    def __str__(self) -> str:
        return f"{self.name}, KCFLAGS={self.kcflags}" if self.kcflags else self.name

    @property
    def compiler(self) -> str:
        """The compiler's own name: aarch64-linux-gnu-gcc-12."""
        return self.name if self.is_clang else self._prefix + self.name

    @property
    def compiling(self) -> tuple[str, ...]:
        """The first words of a command that compiles."""
        aimed = self.is_clang and self.triplet
        return (self.compiler, f"--target={self.triplet}") if aimed else (self.compiler,)

    @property
    def label(self) -> str:
        """What tells it from all others, fit for the name of a folder."""
        flags = f"-{digest(self.kcflags)[:16]}" if self.kcflags else ""
        return f"{self._prefix}{self.name}{flags}"

    @property
    def programs(self) -> dict[str, str]:
        """The programs that it consists of, each with Debian's package of it."""
        if self.is_clang:
            return {
                program + self._suffix: package + self._suffix for program, package in _LLVM.items()
            }
        if not self.triplet:
            return {self.name: self.name, "ld": "binutils"}
        package = self.triplet.replace("_", "-")  # which no package's name may have
        return {
            self.compiler: f"{self.name}-{package}",
            f"{self._prefix}ld": f"binutils-{package}",
            GCC.name: GCC.name,
        }

    def tool(self, name: str) -> str:
        """Return where its objcopy, nm or strip is; the host's own know no other architecture.

        Raises :class:`ToolMissingError`.
        """
        if self.is_clang:
            return process.find(f"llvm-{name}{self._suffix}", f"llvm{self._suffix}")
        package = f"binutils-{self.triplet.replace('_', '-')}" if self.triplet else "binutils"
        return process.find(f"{self._prefix}{name}", package)

    @property
    def gcov(self) -> str:
        """The gcov that reads what this gcc's kernels count."""
        return f"{self._prefix}gcov{self._suffix}"

    @property
    def _prefix(self) -> str:
        return f"{self.triplet}-" if self.triplet else ""

    @property
    def _suffix(self) -> str:
        return self.name[len("clang" if self.is_clang else "gcc") :]

    def missing(self) -> dict[str, str]:
        """Return those of :attr:`programs` that this host lacks."""
        return {
            program: package for program, package in self.programs.items() if not _there(program)
        }

    def require(self) -> None:
        """Raise :class:`InfrastructureError`, with what to install, if anything is missing."""
        lacking = self.missing()
        if not lacking:
            return
        others = [each.name for each in installed(self.triplet)]
        here = f"; this host has {', '.join(others)}" if others else ""
        verb = "is" if len(lacking) == 1 else "are"
        raise InfrastructureError(
            f"{', '.join(lacking)} {verb} not installed on this host",
            hint=f"--toolchain {self.name}: {installing(list(lacking.values()))}{here}",
        )

    def version(self, deadline: Deadline) -> str:
        """Return what identifies compiler, linker and their flags: a part of every key."""
        tools = list(self.programs)[:2]
        versions = [_version(process.find(tool), deadline) for tool in tools]
        # Of clang that is the same for all architectures; gcc says in its version what it is.
        if self.is_clang and self.triplet:
            versions.append(self.triplet)
        if self.kcflags:
            versions.append(f"KCFLAGS={self.kcflags}")
        return "; ".join(versions)


GCC = Toolchain("gcc")
CLANG = Toolchain("clang")


def parse(text: str, arch: Arch, kcflags: str = "") -> Toolchain:
    """Return the toolchain of this name for an architecture, with further flags for its compiler.

    Raises :class:`UserError` where the name or the flags can be none.
    """
    if not _NAME.fullmatch(text):
        raise UserError(f"{text!r} is no toolchain", hint=f"name {FORMS}")
    flags = kcflags.split()
    for flag in flags:
        if not _FLAG.fullmatch(flag):
            raise UserError(
                f"--kcflags: {flag!r} is no flag that make and a shell hand on as it is",
                hint="a flag begins with - and has letters, digits and any of _ = + . , : / -",
            )
    return Toolchain(text, arch.cross, " ".join(flags))


def installing(packages: Sequence[str]) -> str:
    """Return the command that installs packages, each named once."""
    return f"apt-get install {' '.join(dict.fromkeys(packages))}"


def installed(triplet: str = "") -> list[Toolchain]:
    """Return the toolchains that the PATH has whole, gcc first, each version by its number.

    With ``triplet`` these are the ones for another architecture.
    """
    prefix = f"{triplet}-" if triplet else ""
    names: set[str] = set()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        try:
            for path in Path(folder or ".").iterdir():
                clang = path.name.startswith("clang")  # one compiler for all
                name = path.name if clang else path.name.removeprefix(prefix)
                if _NAME.fullmatch(name) and (clang or path.name.startswith(prefix)):
                    names.add(name)
        except OSError:
            continue
    found = [Toolchain(name, triplet) for name in names]
    order = sorted(found, key=lambda each: (each.is_clang, len(each.name), each.name))
    return [each for each in order if not each.missing()]


def _there(program: str) -> bool:
    try:
        process.find(program)
    except ToolMissingError:
        return False
    return True


def _version(tool: str, deadline: Deadline) -> str:
    """Return the first line that ``tool --version`` prints, run once for each file on disk."""
    info = Path(tool).resolve().stat()
    identity = (tool, info.st_ino, info.st_size, info.st_mtime_ns)
    if identity not in _versions:
        text = process.run([tool, "--version"], deadline=deadline, inherit=process.CLEAN).text
        _versions[identity] = text.split("\n", 1)[0]
    return _versions[identity]
