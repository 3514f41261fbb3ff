"""Whether two builds behave as the same kernel."""

from __future__ import annotations

import tempfile
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import KernelBuild
from toolkit.formats import elf
from toolkit.host import process, unpack
from toolkit.host.cache import digest
from toolkit.kernel.toolchain import Toolchain

# Line tables, and the digest that the linker makes of them: none of it is ever executed.
_STRIPPED = ("--strip-debug", "--remove-section=.note.gnu.build-id", "--remove-section=.comment")


def identity(kernel: KernelBuild, toolchain: Toolchain, deadline: Deadline) -> str:
    """Return a digest of a kernel and its modules without debug information and build ids.

    A patch to documentation or comments does not change it, unless it moves a line that the kernel
    names when it warns: include/asm-generic/bug.h keeps __LINE__ in the kernel itself.
    ``toolchain`` is what it was built with.
    """
    with tempfile.TemporaryDirectory(prefix="toolkit-same-") as scratch:
        folder = Path(scratch)
        parts = {"kernel": normalised(kernel.image, folder / "kernel", toolchain, deadline)}
        if kernel.modules:
            modules = folder / "modules"
            unpack.unpack(kernel.modules, modules, lambda *_: None, deadline)
            parts |= {
                str(path.relative_to(modules)): normalised(
                    path, folder / "module", toolchain, deadline
                )
                for path in sorted(modules.rglob("*.ko"))
            }
    return digest(parts)


def normalised(path: Path, scratch: Path, toolchain: Toolchain, deadline: Deadline) -> str:
    """Return a digest of an ELF file without :data:`_STRIPPED`, or of any other file as it is.

    ``scratch`` is where what is left of it may be written, and ``toolchain`` what made it.
    """
    with path.open("rb") as file:
        if file.read(len(elf.MAGIC)) != elf.MAGIC:
            return digest(path.read_bytes())
    argv = [toolchain.tool("objcopy"), *_STRIPPED, str(path), str(scratch)]
    process.run(argv, deadline=deadline, inherit=process.CLEAN)
    return digest(scratch.read_bytes())
