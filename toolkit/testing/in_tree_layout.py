"""Where a target of the kernel's own selftests is built, and what lies beside its programs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import LINKED
from toolkit.core.model.series import PatchedTree
from toolkit.host import process
from toolkit.testing.in_tree_suites import FOLDER, MAKEFILE

GENERATED = "tools"  # the folder of generated headers, beside what is built
_OF_KERNEL_BUILD = re.compile(rb"\b(?:KDIR|VMLINUX_BTF)\b")
_RUNNER = "kselftest"  # the folder of kselftest's runner
_MAX_READ = 1 << 20  # bytes of a script or Makefile


def lay_out(source: Path, place: Path, deadline: Deadline) -> Path:
    """Make the folder ``place`` look like ``source``, but with selftests of its own.

    Some Makefiles write beside their sources whatever OUTPUT says, and the source is shared. So
    the selftests are copied; what stands there already is brought up to date, and all else is a
    link. Returns the copied ``tools/testing/selftests``.
    """
    at = Path()
    for part in Path(FOLDER).parts:
        (place / at).mkdir(exist_ok=True)
        for link in [path for path in (place / at).iterdir() if path.is_symlink()]:
            link.unlink()
        for path in (source / at).iterdir():
            if path.name != part:
                (place / at / path.name).symlink_to(path)
        at /= part
    copy = place / FOLDER
    put(source / FOLDER, copy, deadline, links="--links")
    return copy


def put(source: Path, target: Path, deadline: Deadline, links: str = "--copy-unsafe-links") -> None:
    """Make the folder ``target`` a copy of ``source``, with what links out of it lead to.

    What is there already is compared by content: a Makefile of an earlier series may have written
    to it, and set size and time back.
    """
    argv = ["rsync", "-a", "--checksum", "--delete", "--exclude=.git", links]
    process.run([*argv, f"{source}/", f"{target}/"], deadline=deadline)


def arguments(selftests: Path, target: str, included: Path, objects: Path) -> list[str]:
    """Return make's arguments for a target below the copied ``selftests``.

    ``included`` is as for :func:`include_paths`, and ``objects`` what is made besides programs.
    KVM's Makefile generates arm64's headers in :data:`GENERATED` of ``abs_objdir``, which has to be
    there, and without that in the tree.
    """
    return [
        *("-C", str(selftests / target), "--output-sync=target"),
        f"abs_objdir={objects}",
        *include_paths(selftests, included),
    ]


def reads_kernel_build(tree: PatchedTree, target: str, outside: Path | None = None) -> bool:
    """Return whether a Makefile of a target reads the kernel's build folder, for modules or BTF.

    ``outside`` is a folder that takes the place of the target in the tree.
    """
    place = outside or tree.base.path / FOLDER / target
    texts = {
        f"{FOLDER}/{target}/{path.relative_to(place)}": _beginning(path)
        for path in _plain_files(place.rglob(MAKEFILE))
    }
    if not outside:
        texts |= {
            name: file.content or b""
            for name, file in tree.files.items()
            if name.startswith(f"{FOLDER}/{target}/") and name.endswith(f"/{MAKEFILE}")
        }
    return any(map(_OF_KERNEL_BUILD.search, texts.values()))


def kernel_build(folder: Path | None, config: Path) -> list[str]:
    """Return make's arguments for targets that read the kernel's build folder, ``folder``.

    Modules in TEST_GEN_MODS_DIR are built against KDIR, and BPF programs against the types in
    VMLINUX_BTF; both would be the host's own kernel's, whatever that is. Without a kernel with BTF
    there are no types. ``config`` is the kernel's.
    """
    if folder is None:
        return ["KDIR=", "VMLINUX_BTF="]
    types = "CONFIG_DEBUG_INFO_BTF=y" in config.read_text().splitlines()
    return [f"KDIR={folder}", f"VMLINUX_BTF={folder / LINKED if types else ''}"]


def include_paths(selftests: Path, included: Path) -> list[str]:
    """Return make's arguments for what a target names in TEST_INCLUDES.

    lib.mk copies it from below SRC_PATH to OBJ_PATH, which come from the Makefile of all targets.
    Without them it writes to the root of the host: so they are given, and the folder ``included``
    receives the files, each at its path below ``selftests``.
    """
    return [f"SRC_PATH={selftests.resolve()}", f"OBJ_PATH={included}"]


def include_runner(source: Path, installed: Path, included: Path) -> None:
    """Put the tree's own runner among what a target includes, where a script of it calls that.

    It has helpers, such as ktap_helpers.sh and module.sh, and ``make install`` of all targets puts
    it beside them. ``source`` is the tree, whose links lead anywhere and are left out.
    """
    runner = source / FOLDER / _RUNNER
    call = f"../{_RUNNER}/".encode()
    calls = any(call in _beginning(path) for path in _plain_files(installed.rglob("*")))
    if not calls or runner.is_symlink():
        return
    (included / _RUNNER).mkdir(exist_ok=True)
    for path in _plain_files(runner.glob("*")):
        shutil.copy(path, included / _RUNNER / path.name)


def _plain_files(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if path.is_file() and not path.is_symlink())


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_READ)


def join_included(installed: Path, included: Path, target: str) -> str:
    """Put what a target includes where its scripts look for it; return the programs' folder.

    They name it by its place beside their own: ``../lib.sh``. So where there is anything, what
    is installed goes to its path below the selftests, too; else it stays where it is ("").
    """
    if not any(included.iterdir()):
        included.rmdir()
        return ""
    shutil.copytree(installed, included / target, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(installed)
    included.rename(installed)
    return target
