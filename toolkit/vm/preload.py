"""An initramfs of modules that a machine needs before anything else runs: its disk, its network.

The kernel unpacks archives one behind the other, so this one follows the image's own, which knows
nothing of the kernel. With ``rdinit=`` the kernel runs :data:`PROGRAM` and not the image's init; it
loads the modules in their order and becomes that init.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.machine import GuestImage
from toolkit.formats import cpio
from toolkit.host.cache import Cache, digest
from toolkit.vm import initramfs
from toolkit.vm.image import INITRD

PROGRAM = "/preload"  # for the kernel's command line, with rdinit= before it
_KIND = "initrd"  # of cache entries
_FORMAT = 1
_FOLDER = "preload.d"
_DEPENDENCIES = "modules.dep"
_SCRIPT = f"""#!/bin/sh
# Loads what the kernel needs of its own modules to reach disk and network, in the right order.
export PATH=/usr/bin:/bin:/sbin
for module in /{_FOLDER}/*.ko; do
    insmod "$module"
done
exec /init
"""


def with_modules(
    image: GuestImage, kernel: KernelBuild, cache: Cache, deadline: Deadline
) -> GuestImage:
    """Return the image as this kernel boots it: with the modules that the kernel needs early.

    An image of another kernel's modules is another image, with a key of its own. Where the kernel
    needs none, it is the image as it was.
    """
    if not kernel.early or not kernel.modules or not image.initrd:
        return image
    initrd = image.initrd
    modules = read(kernel.modules, kernel.early)
    key = digest(_FORMAT, image.key, [[name, digest(content)] for name, content in modules])

    def fill(folder: Path) -> None:
        whole = initramfs.followed_by(initrd.read_bytes(), entries(modules))
        (folder / INITRD).write_bytes(whole)

    path, _ = cache.make(_KIND, key, fill, deadline=deadline, label=image.name)
    cmdline = (*image.cmdline, f"rdinit={PROGRAM}")
    return replace(image, key=key, initrd=path / INITRD, cmdline=cmdline)


def read(archive: Path, wanted: Iterable[str]) -> list[tuple[str, bytes]]:
    """Return the modules ``wanted`` of a tar archive of lib/modules, and what they need, in order.

    They are named by their places below lib/modules/RELEASE, and returned with their files' names.
    """
    with tarfile.open(archive) as tar:
        members = {}
        for member in tar:
            if content := tar.extractfile(member) if member.isfile() else None:
                members[member.name.split("/", 3)[3]] = content.read()
    ordered = in_order(wanted, dependencies(members.get(_DEPENDENCIES, b"").decode()))
    return [(posixpath.basename(name), members[name]) for name in ordered]


def dependencies(text: str) -> dict[str, list[str]]:
    """Return what each module of a modules.dep needs, all by their places."""
    lines = (line.partition(":") for line in text.splitlines())
    return {name: rest.split() for name, colon, rest in lines if colon}


def in_order(wanted: Iterable[str], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the modules to load for those ``wanted``, each after what it ``needs``.

    Raises :class:`InfrastructureError` where one needs a module that is not in ``needs``.
    """
    ordered: list[str] = []
    pending: set[str] = set()

    def visit(name: str) -> None:
        if name in ordered or name in pending:
            return
        if name not in needs:
            raise InfrastructureError(f"the packaged kernel has no module {name}")
        pending.add(name)
        for other in needs[name]:
            visit(other)
        ordered.append(name)

    for name in wanted:
        visit(name)
    return ordered


def entries(modules: Sequence[tuple[str, bytes]]) -> list[cpio.Entry]:
    """Return what loads modules in this order, each the name of its file and that file."""
    files = [cpio.file(PROGRAM, _SCRIPT.encode(), 0o755)]
    files += [
        cpio.file(f"{_FOLDER}/{number:02}-{name}", content)
        for number, (name, content) in enumerate(modules)
    ]
    return cpio.with_parents(files)
