"""What a series reaches in a kernel that is built already: modules alone, or the kernel itself.

Whatever cannot be told counts as reaching the kernel.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from toolkit.core.model.series import PatchedTree
from toolkit.kernel.prebuilt import includes
from toolkit.kernel.prebuilt.includes import Include
from toolkit.kernel.prebuilt.objects import MAKEFILES, Objects

# No build reads these.
_UNUSED = re.compile(r"MAINTAINERS|CREDITS|Documentation/.*|tools/testing/.*|samples/.*")
_KCONFIG = re.compile(r"(.*/)?Kconfig[^/]*")  # judged by the configuration that comes of them
_MAKEFILE = re.compile(r"(.*/)?(Kbuild|Makefile)(\.[^/]*)?")
# A line that adds objects for an option: obj-$(CONFIG_DOORBELL) += doorbell.o
_ADDS = re.compile(r"[\w./-]+-\$\((CONFIG_\w+)\)\s*\+=\s*[\w./$() -]+")
# Made by rules of their own: the code that starts the kernel, the vDSO, and headers with numbers
# that assembler code takes from C (the tree's Kbuild).
_APART = re.compile(r"arch/[^/]+/(boot|entry/vdso|realmode|purgatory|tools)/.*|usr/.*|certs/.*")
_NUMBERS = re.compile(r"(.*/)?(asm-offsets|bounds)(_\w+)?\.c")


@dataclass(frozen=True, slots=True)
class Reach:
    """What a series reaches: ``modules`` by path without ``.ko``, each built in a folder's ``M=``.

    ``compared`` are objects of the kernel whose sources read what is changed; where one of them is
    not the same afterwards, the kernel is reached.
    """

    modules: Mapping[str, str]
    compared: frozenset[str]


class ReachError(Exception):
    """The kernel itself is reached, or may be, for the reason that is given in words."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A patched tree, as far as it takes to see what reaches what.

    ``included`` is what each source of it includes, ``objects`` lists what a folder's Makefile
    makes (None where it cannot), and ``makefiles`` has the text of each Makefile by its path.
    """

    patched: PatchedTree
    srcarch: str
    included: Mapping[str, Collection[Include]]
    objects: Callable[[str], Objects | None]
    makefiles: Mapping[str, str]

    def before(self, path: str) -> bytes | None:
        """Return what a file holds in the base, or None where it has none."""
        file = self.patched.base.path / path
        return file.read_bytes() if file.is_file() else None


def find(tree: Tree, new_options: Collection[str]) -> Reach:
    """Return what the series reaches; raise :class:`ReachError` if that is more than modules.

    ``new_options`` are options that the series brings and that nothing of the base mentions.
    """
    sources = []
    for path, file in sorted(tree.patched.files.items()):
        if _UNUSED.fullmatch(path) or _KCONFIG.fullmatch(path):
            continue
        if _MAKEFILE.fullmatch(path):
            _check_makefile(path, tree.before(path), file.content, new_options)
        elif not includes.is_source(path, tree.srcarch):
            foreign = path.startswith("arch/") and path.split("/")[1] != tree.srcarch
            if not foreign:
                raise ReachError(f"what is made of {path} is not known")
        elif file.content is None:
            raise ReachError(f"{path} goes, and another file may be found in its place")
        else:
            sources.append(path)
    return _of_sources(tree, sources)


def _of_sources(tree: Tree, changed: Collection[str]) -> Reach:
    including = includes.reverse(tree.included, tree.srcarch)
    affected = includes.readers(including, changed)
    for header in changed:
        lonely = not including.get(header, set()) - {header}
        if header.endswith(".h") and lonely and tree.before(header) is not None:
            raise ReachError(f"who reads {header} is not known")
    modules: dict[str, str] = {}
    compared: set[str] = set()
    for path in sorted(affected):
        if path.endswith(".h"):
            continue
        homes = _homes(tree, path)
        modules |= {module: folder for folder, owned in homes for module in owned}
        if _is_in_kernel(tree, path):
            if tree.before(path) is None:
                raise ReachError(f"{path} is new in the kernel itself")
            compared.add(f"{posixpath.splitext(path)[0]}.o")
    return Reach(modules, frozenset(compared))


def _homes(tree: Tree, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield folders whose Makefile has the object of ``path`` in modules, and these modules."""
    stem = posixpath.splitext(path)[0]
    for folder in _folders(tree, path):
        objects = _objects(tree, folder)
        if stem in objects.others and not objects.builtin:
            owned = list(objects.modules)  # whatever is made of it is made for them
        else:
            owned = [name for name, parts in objects.modules.items() if f"{stem}.o" in parts]
        if owned:
            yield folder, owned


def _is_in_kernel(tree: Tree, path: str) -> bool:
    stem = posixpath.splitext(path)[0]
    if _APART.fullmatch(path) or _NUMBERS.fullmatch(path):
        raise ReachError(f"{path} reads what is changed, and is built into the kernel by itself")
    for folder in _folders(tree, path):
        objects = _objects(tree, folder)
        if stem in objects.others and (objects.builtin or not objects.modules):
            raise ReachError(f"{path} reads what is changed, and what is made of it is not known")
        if f"{stem}.o" in objects.builtin:
            return True
    return False


def _objects(tree: Tree, folder: str) -> Objects:
    objects = tree.objects(folder)
    if objects is None:
        raise ReachError(f"what the Makefile in {folder} makes cannot be told")
    return objects


def _folders(tree: Tree, path: str) -> list[str]:
    """Return the folders whose Makefile may name the object of a file: above it, or naming its own.

    KVM's shared part, virt/kvm, has none of its own: arch/x86/kvm/Makefile names its objects.
    """
    parent = posixpath.dirname(path)
    above = [parent]
    while "/" in above[-1]:
        above.append(posixpath.dirname(above[-1]))
    naming = {
        posixpath.dirname(makefile)
        for makefile, text in tree.makefiles.items()
        if parent in text and posixpath.basename(makefile) in MAKEFILES
    }
    existing = {posixpath.dirname(each) for each in tree.makefiles if _is_kbuild(each)}
    chosen = [folder for folder in above if folder in existing]
    return [*chosen, *sorted((naming & existing) - set(chosen) - {""})]


def _is_kbuild(path: str) -> bool:
    return posixpath.basename(path) in MAKEFILES


def _check_makefile(
    path: str, before: bytes | None, after: bytes | None, new_options: Collection[str]
) -> None:
    """Raise :class:`ReachError` unless lines were added for new options alone."""
    old, new = ((text or b"").decode(errors="replace").splitlines() for text in (before, after))
    for line in _added(path, old, new):
        match = _ADDS.fullmatch(line.strip())
        blank = not line.strip() or line.lstrip().startswith("#")
        if not blank and not (match and match[1] in new_options):
            raise ReachError(f"{path} has a line that may change more than modules: {line.strip()}")


def _added(path: str, old: list[str], new: Iterable[str]) -> Iterator[str]:
    """Yield the lines that were added between old ones; raise if any of those is gone."""
    rest = iter(old)
    expected = next(rest, None)
    for line in new:
        if line == expected:
            expected = next(rest, None)
        else:
            yield line
    if expected is not None:
        raise ReachError(f"{path} has lost a line: {expected.strip()}")
