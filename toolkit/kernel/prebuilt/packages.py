"""Debian's packages of a kernel that is built, and what is in them that a build of modules takes.

The kernel has to be the one of the source: both packages have the version of ``linux-source-X.Y``.
``linux-headers`` has the exported symbols with their CRCs and the kernel's BTF; all else in there
is made again from the source. The cloud flavour is the smallest, and has KVM and virtio as modules.
"""

from __future__ import annotations

import json
import lzma
import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError
from toolkit.core.model.kernel import Prebuilt
from toolkit.formats import modversions, symvers
from toolkit.formats.symvers import Export
from toolkit.host import apt, process
from toolkit.host.apt import Package
from toolkit.host.cache import Cache, digest

KIND = "prebuilt"  # of cache entries
_FORMAT = 1
_FACTS = "prebuilt.json"
_IMPORTS = "imports.json"
_FLAVOUR = "cloud"
_ABI = r"\d[\w.+~]*(?:-\d+)?"  # 6.12.117+deb12, or 6.1.0-25
_IMAGE = re.compile(rf"linux-image-(?P<abi>{_ABI})-(?P<flavour>{_FLAVOUR}-[a-z0-9]+)")
_SHOWN = 12  # digits of a digest


def names(image: str) -> tuple[str, str]:
    """Return the packages that belong to a linux-image package, and that first."""
    return image, image.replace("linux-image-", "linux-headers-", 1)


def images(listed: Collection[str], series: str, architecture: str) -> list[str]:
    """Return those of the packages ``listed`` that may be a kernel of a ``series`` such as 6.12."""
    wanted = f"{_FLAVOUR}-{architecture}"
    return sorted(
        name
        for name in listed
        if (match := _IMAGE.fullmatch(name))
        and match["flavour"] == wanted
        and match["abi"].startswith(f"{series}.")
    )


def find(
    source: Package, series: str, cache: Cache, deadline: Deadline
) -> tuple[Package, ...] | None:
    """Return the packages of the kernel that was built from ``source``, as :func:`names` has them.

    None where apt has no such kernel, or no longer all of it.
    """
    argv = ["apt-cache", "pkgnames", f"linux-image-{series}."]
    listed = process.run(argv, deadline=deadline, check=False).text.split()
    dpkg = process.find("dpkg", "dpkg")
    native = process.run([dpkg, "--print-architecture"], deadline=deadline).text.strip()
    # By number, not by letter: the newest first, since that is what the source usually is.
    for image in sorted(images(listed, series, native), key=_numbers, reverse=True):
        try:
            found = apt.candidates(names(image), cache, deadline)
        except ToolFailedError:
            raise
        except InfrastructureError:
            continue  # its name is known, but no list has it any more
        if all(package.version == source.version for package in found):
            return found
    return None


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def fetch(packages: Sequence[Package], cache: Cache, deadline: Deadline) -> tuple[Prebuilt, bool]:
    """Return the kernel in the ``packages`` of :func:`find`, and whether the cache had it.

    Raises :class:`InfrastructureError` where a package is damaged.
    """
    identity = [[each.name, each.version, each.sha256] for each in packages]
    key = digest(KIND, _FORMAT, identity)
    image = packages[0]
    release = image.name.removeprefix("linux-image-")

    def fill(folder: Path) -> None:
        debs = apt.fetch(packages, cache, deadline)
        raw = folder / "raw"
        for deb in debs:
            process.run(["dpkg-deb", "-x", str(deb), str(raw)], deadline=deadline)
        made = Prebuilt(folder, key, release, image.name)
        lay_out(raw, made)
        shutil.rmtree(raw)
        exports(made)
        (folder / _IMPORTS).write_text(json.dumps(_imports(made, deadline)))
        (folder / _FACTS).write_text(json.dumps(identity))
        for deb in debs:
            cache.remove_tree(deb.parent)  # what is needed of them is in the entry

    path, cached = cache.make(KIND, key, fill, deadline=deadline, label=image.name)
    package = f"{image.name} {image.version} (SHA-256 {image.sha256[:_SHOWN]})"
    return Prebuilt(path, key, release, package), cached


def lay_out(raw: Path, made: Prebuilt) -> None:
    """Move what is needed of packages that are unpacked in ``raw`` to its places in an entry.

    Raises :class:`InfrastructureError` where a package lacks any of it.
    """
    installed = "lib" if (raw / "lib/modules").is_dir() else "usr/lib"
    headers = f"usr/src/linux-headers-{made.release}"
    for name, place in {
        f"boot/vmlinuz-{made.release}": made.image,
        f"boot/config-{made.release}": made.config,
        f"{installed}/modules/{made.release}": made.modules,
        f"{headers}/{made.symvers.name}": made.symvers,
    }.items():
        try:
            (raw / name).rename(place)
        except OSError as error:
            raise _damaged(made, f"{name}: {error.strerror}") from error
    for link in ("build", "source"):
        (made.modules / link).unlink(missing_ok=True)
    types = raw / headers / made.types.name
    if types.is_file():
        types.rename(made.types)


@dataclass(frozen=True, slots=True)
class Module:
    """A module of a package: its path below the folder of modules, and the symbols it uses."""

    file: str
    imports: frozenset[str]


def modules(prebuilt: Prebuilt) -> dict[str, Module]:
    """Return the modules of a package by their paths in the tree, without a suffix."""
    facts = json.loads((prebuilt.path / _IMPORTS).read_text())
    return {name: Module(file, frozenset(used)) for name, (file, used) in facts.items()}


def _imports(made: Prebuilt, deadline: Deadline) -> dict[str, tuple[str, list[str]]]:
    found = {}
    for path in sorted(made.modules.rglob("*.ko*")):
        deadline.check("reading the packaged kernel's modules")
        file = str(path.relative_to(made.modules))
        name = file.removeprefix("kernel/").partition(".ko")[0]
        try:
            found[name] = (file, sorted(modversions.imports(content(path))))
        except ValueError as error:
            raise _damaged(made, f"{file}: {error}") from error
    return found


def exports(prebuilt: Prebuilt) -> dict[str, Export]:
    """Return what a packaged kernel and its modules export.

    Raises :class:`InfrastructureError` where the package is damaged.
    """
    try:
        return symvers.parse(prebuilt.symvers.read_text())
    except ValueError as error:
        raise _damaged(prebuilt, f"Module.symvers: {error}") from error


def _damaged(prebuilt: Prebuilt, what: str) -> InfrastructureError:
    return InfrastructureError(
        f"the package {prebuilt.package} is damaged: {what}",
        hint="take --kernel debian:… of the same release, which is built",
    )


def content(module: Path) -> bytes:
    """Return a module that is installed, unpacked.

    Raises :class:`InfrastructureError` for one that is packed in a way that is not known, and
    :class:`ValueError` for one that is damaged.
    """
    data = module.read_bytes()
    if module.name.endswith(".ko"):
        return data
    if module.name.endswith(".ko.xz"):
        try:
            return lzma.decompress(data)
        except lzma.LZMAError as error:
            raise ValueError(f"damaged xz file: {error}") from error
    raise InfrastructureError(
        f"{module} is packed in a way that the toolkit does not know",
        hint="take --kernel debian:… of the same release, which is built",
    )
