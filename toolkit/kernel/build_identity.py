"""Whether two builds are the same kernel for whoever runs it."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import KernelBuild
from toolkit.formats import elf
from toolkit.host import process
from toolkit.host.cache import digest

# Nothing of these is ever executed: line tables, and the digest that the linker makes of them.
_LEFT_OUT = ("--strip-debug", "--remove-section=.note.gnu.build-id", "--remove-section=.comment")


def identity(kernel: KernelBuild, deadline: Deadline) -> str:
    """Return a digest of a kernel and its modules, debug information and build ids left out.

    A patch to documentation or comments alone leaves it as it is, unless it moves a line that the
    kernel names when it warns: include/asm-generic/bug.h keeps __LINE__ in the kernel itself.
    """
    with tempfile.TemporaryDirectory(prefix="toolkit-same-") as scratch:
        folder = Path(scratch)
        parts = {"kernel": _normalised(kernel.image, folder / "kernel", deadline)}
        if kernel.modules:
            with tarfile.open(kernel.modules) as archive:
                archive.extractall(folder, filter="data")
            parts |= {
                str(path.relative_to(folder)): _normalised(path, folder / "module", deadline)
                for path in sorted(folder.rglob("*.ko"))
            }
    return digest(parts)


def _normalised(path: Path, scratch: Path, deadline: Deadline) -> str:
    """Return a digest of an ELF file without what is left out; of any other file as it is."""
    with path.open("rb") as file:
        if file.read(len(elf.MAGIC)) != elf.MAGIC:
            return digest(path.read_bytes())
    objcopy = process.find("objcopy", "binutils")
    process.run([objcopy, *_LEFT_OUT, str(path), str(scratch)], deadline=deadline)
    return digest(scratch.read_bytes())
