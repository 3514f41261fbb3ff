"""Puts together an initramfs from packages and rendered files: pure, no process, no disk."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence

from toolkit.core.errors import UserError
from toolkit.formats import cpio, elf
from toolkit.host.apt import Member, merged, resolve

PROGRAMS = "usr/bin"  # where every program lands
_SEARCH = ("usr/bin", "usr/sbin")
_LIBRARY_FOLDER = re.compile(r"usr/lib(64)?(/[^/]+-linux-gnu)?")

# What the kernel opens for its first program, before devtmpfs can be mounted: major 5, minor 1
# (Documentation/admin-guide/devices.txt).
_CONSOLE = cpio.character_device("dev/console", 0o600, 5, 1)


def entries(
    *,
    tree: Mapping[str, Member],
    programs: Sequence[str],
    applets: Sequence[str],
    symlinks: Mapping[str, str],
    files: Mapping[str, tuple[bytes, int]],
    folders: Mapping[str, int],
) -> list[cpio.Entry]:
    """Return everything an initramfs holds, parents first.

    ``tree`` is what the packages contain; ``programs`` are taken from it with all libraries they
    need; ``applets`` become links to busybox; ``files`` are content and permissions by path.
    Raises :class:`UserError` for a program or library that no package has.
    """
    members = [_CONSOLE]
    members += [cpio.folder(path, permissions) for path, permissions in folders.items()]
    members += [cpio.link(path, target) for path, target in symlinks.items()]
    members += [cpio.link(f"{PROGRAMS}/{name}", "busybox") for name in applets]
    pending = []
    for name in programs:
        content = _program(tree, name)
        members.append(cpio.file(f"{PROGRAMS}/{name}", content, 0o755))
        pending.append((name, content))
    members += [cpio.file(path, data, 0o755) for path, data in libraries(tree, pending).items()]
    members += [cpio.file(path, data, mode) for path, (data, mode) in files.items()]
    return cpio.with_parents(members)


def _program(tree: Mapping[str, Member], name: str) -> bytes:
    for folder in _SEARCH:
        member = resolve(tree, f"{folder}/{name}")
        if member and member.executable:
            return member.content
    raise UserError(
        f"none of the image's packages has a program {name!r}",
        hint="add the package that has it to `packages` in image.yaml",
    )


def libraries(
    tree: Mapping[str, Member], programs: Sequence[tuple[str, bytes]]
) -> dict[str, bytes]:
    """Return the loaders and shared libraries that ``programs`` need, directly or not, by path."""
    pending = list(programs)
    by_path: dict[str, bytes] = {}
    while pending:
        name, content = pending.pop()
        needs = elf.wants(content)
        paths = [_locate(tree, library, name) for library in needs.libraries]
        if needs.interpreter:
            paths.append(merged(needs.interpreter))
        for path in paths:
            if path in by_path:
                continue
            member = resolve(tree, path)
            if member is None:
                raise _missing(path, name)
            by_path[path] = member.content
            pending.append((path, member.content))
    return by_path


def _locate(tree: Mapping[str, Member], library: str, wanted_by: str) -> str:
    places = [path for path in tree if path.rpartition("/")[2] == library]
    # Others are variants for newer processors (glibc-hwcaps) or belong to one program.
    places = [path for path in places if _LIBRARY_FOLDER.fullmatch(path.rpartition("/")[0])]
    if not places:
        raise _missing(library, wanted_by)
    return min(places)


def _missing(library: str, wanted_by: str) -> UserError:
    return UserError(
        f"{wanted_by} needs {library}, which none of the image's packages has",
        hint="add the package that has it to `packages` in image.yaml",
    )


def followed_by(initramfs: bytes, members: Sequence[cpio.Entry]) -> bytes:
    """Return an initramfs with another archive behind it, as the kernel allows.

    An archive begins at a multiple of four, which the kernel insists on
    (Documentation/driver-api/early-userspace/buffer-format.rst).
    """
    return initramfs + b"\0" * (-len(initramfs) % 4) + cpio.pack(members)


def archive(members: Sequence[cpio.Entry], *, compress: bool) -> bytes:
    """Return the initramfs in the kernel's format; the same entries give the same bytes."""
    data = cpio.pack(members)
    return gzip.compress(data, 9, mtime=0) if compress else data
