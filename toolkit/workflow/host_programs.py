"""What the toolkit needs of its host: the programs and files in ``host-programs.txt``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.errors import InfrastructureError, ToolMissingError
from toolkit.host import process
from toolkit.kernel.toolchain import installing

_LIST = "host-programs.txt"  # its head says how a line is read
_CROSS, _NATIVE = "cross-", "native-"
_DISTRO = "distro"  # kernels with a distribution's configuration
_SELFTESTS = "selftests"  # suites of the kernel tree


@dataclass(frozen=True, slots=True)
class Program:
    """A program or file the toolkit needs, Debian's package for it, and what it is for.

    ``condition`` says for which kernels it is needed; "" stands for all.
    """

    name: str
    package: str
    purpose: str
    optional: bool = False
    condition: str = ""

    def found(self) -> str:
        """Return where it is, or "" when the host lacks it."""
        if self.name.startswith("/"):
            return self.name if Path(self.name).exists() else ""
        try:
            return process.find(self.name, self.package)
        except ToolMissingError:
            return ""


@functools.cache
def listed() -> tuple[Program, ...]:
    """Return the whole list that ./bootstrap installs from."""
    text = resources.files("toolkit.workflow").joinpath(_LIST).read_text()
    return tuple(_program(line) for line in text.splitlines() if line and line[0] != "#")


def _program(line: str) -> Program:
    name, package, purpose = line.split(None, 2)
    condition, colon, plain = name.removeprefix("?").rpartition(":")
    optional = name.startswith("?") or condition in (_DISTRO, _SELFTESTS)
    return Program(plain, package, purpose, optional, condition if colon else "")


def needed(arch: Arch) -> tuple[Program, ...]:
    """Return what kernels of an architecture need of this host."""
    way = _CROSS if arch.cross else _NATIVE
    conditions = ["", _DISTRO, arch.name, way + arch.name]
    conditions += [] if arch.cross else [_SELFTESTS]
    return tuple(each for each in listed() if each.condition in conditions)


def require(arch: Arch) -> None:
    """Raise :class:`InfrastructureError` without what another architecture's kernels need here.

    What the host's own kernels need is said when it is called.
    """
    if not arch.cross:
        return
    own = [each for each in needed(arch) if each.condition]
    lacking = [each for each in own if not each.optional and not each.found()]
    if lacking:
        names = ", ".join(each.name for each in lacking)
        raise InfrastructureError(
            f"this host lacks what kernels for {arch.name} need: {names}",
            hint=f"{installing([each.package for each in lacking])}; ./bootstrap does it when "
            f"--arch {arch.name} is among the words of its command",
        )
