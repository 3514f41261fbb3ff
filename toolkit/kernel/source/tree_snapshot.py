"""Take snapshots of a kernel tree that somebody works in, without ever writing to it.

What a build left behind in the tree is no source, and would make kbuild refuse to build
elsewhere ("The source tree is not clean"), so it stays out of the snapshot.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolFailedError, ToolMissingError, UserError
from toolkit.host import process

# A file's size, time stamp (ns) and mode: a change of these is a change, as for make and rsync.
Listing = dict[str, tuple[int, int, int]]
Report = Callable[[int, int | None], None]  # files so far, files in all

_REPORT_EVERY = 2000
_FOLDERS = ("arch", "include", "kernel", "scripts")  # in every kernel

# Traces of `make` without O=; what the kernel's Makefile itself looks for (outputmakefile).
_BUILT = (".config", "include/config", "include/generated")
# What kbuild writes: see the files' names in scripts/Makefile.* and the CLEAN_FILES and
# MRPROPER_FILES of the kernel's Makefile. Only used where git does not say what is a source.
_PRODUCTS = (
    *("*.o", "*.a", "*.ko", "*.ko.*", "*.so", "*.so.dbg", "*.mod", "*.mod.c", ".*.cmd", ".*.d"),
    *("*.symtypes", "*.symversions", "*.dtb", "*.dtbo", "*.gcno", "*.gcda", "*.order", ".tmp_*"),
    *("*.lex.c", "*.tab.[ch]", "*.asn1.[ch]", "*.usyms", "*.patch.orig", "*.lds.tmp"),
    *(".config", ".config.old", "vmlinux", "vmlinux.*", ".vmlinux.*", "System.map", ".version"),
    *("Module.symvers", "modules.builtin", "modules.builtin.*", "modules-only.symvers"),
    *("bounds.s", "asm-offsets.s", "bzImage", "piggy.S", "vdso-image-*.c", "inat-tables.c"),
    *("signing_key.*", "x509.genkey", "x509_certificate_list", "initramfs_data.cpio*"),
    *("zoffset.h", "voffset.h", "cpustr.h", "capflags.c", "config_data", "config_data.gz"),
    *("oid_registry_data.c", "crc32table.h", "crc64table.h", "pasyms.h", "realmode.relocs"),
)
_SOURCES = ("vmlinux.lds.S", "vmlinux.*.lds.S", "vmlinux.lds.h", "vmlinux.scr")
_PRODUCT_FOLDERS = re.compile(r"include/(config|generated)|arch/[^/]+/include/generated|\.git")
# git's words since 2.35.2 and since 2.38 (ensure_valid_ownership in setup.c).
_FOREIGN = re.compile("unsafe repository|dubious ownership")
_PRODUCT = re.compile("|".join(fnmatch.translate(pattern) for pattern in _PRODUCTS))


def listing(tree: Path, deadline: Deadline) -> Listing:
    """Return the source files and links below ``tree``, each with size, time stamp and mode.

    Raises :class:`UserError` for another user's repository, which git refuses to read.
    """
    try:
        paths: Iterable[str] | None = _listed_by_git(tree, deadline)
    except ToolFailedError as error:
        _refuse_foreign(tree, error)
        paths = _walk(tree, built=True)  # in this one, too, there may be ignored files
    if paths is None:
        paths = _walk(tree, built=any((tree / trace).exists() for trace in _BUILT))
    files = _stats(tree, paths)
    deadline.check(f"listing {tree}")
    return files


def _stats(tree: Path, paths: Iterable[str]) -> Listing:
    files: Listing = {}
    for path in paths:
        try:
            info = os.lstat(f"{tree}/{path}")  # a Path for each of 90,000 files takes a second
        except (FileNotFoundError, NotADirectoryError):
            continue  # git still lists a file that was just removed
        if stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
            files[path] = (info.st_size, info.st_mtime_ns, stat.S_IMODE(info.st_mode))
    return files


def _listed_by_git(tree: Path, deadline: Deadline) -> list[str] | None:
    """Return what git tracks or does not ignore; None when ``tree`` is no git work tree."""
    if not (tree / ".git").exists():
        return None
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
    environment = {"GIT_DIR": None, "GIT_WORK_TREE": None, "GIT_INDEX_FILE": None}
    try:
        done = process.run(argv, cwd=tree, env=environment, deadline=deadline)
    except ToolMissingError:
        return None
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    # Debian's packaged tree ignores all of itself: there git knows only what was forced in.
    tops = {name.partition("/")[0] for name in names}
    whole = all(folder in tops for folder in _FOLDERS if (tree / folder).is_dir())
    return names if whole else None


def _refuse_foreign(tree: Path, error: ToolFailedError) -> None:
    """Raise :class:`UserError` if git refused because the repository is another user's.

    Its configuration names programs that git would run, so only the caller can decide to trust it.
    """
    if _FOREIGN.search("\n".join(error.detail)):
        raise UserError(
            f"{tree} belongs to another user, so git does not say which of its files are ignored",
            hint=f"if you trust it, run: git config --global --add safe.directory {tree}",
            detail=error.detail[:1],
        ) from error


def _walk(tree: Path, *, built: bool) -> Iterator[str]:
    folders = [""]
    while folders:
        prefix = folders.pop()
        with os.scandir(tree / prefix) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if not _PRODUCT_FOLDERS.fullmatch(path):
                        folders.append(path + "/")
                elif not (built and _is_product(entry)):
                    yield path


def _is_product(entry: os.DirEntry[str]) -> bool:
    if _PRODUCT.match(entry.name) and not any(
        fnmatch.fnmatchcase(entry.name, pattern) for pattern in _SOURCES
    ):
        return True
    # Host programs have no names in common, but their kind is plain.
    if entry.is_file(follow_symlinks=False) and entry.stat().st_mode & stat.S_IXUSR:
        with Path(entry.path).open("rb") as file:
            return file.read(4) == b"\x7fELF"
    return False


def snapshot(
    tree: Path,
    files: Listing,
    target: Path,
    *,
    previous: Path | None,
    report: Report,
    deadline: Deadline,
) -> None:
    """Copy ``files`` of ``tree`` to the new folder ``target``, time stamps included.

    What ``previous``, an older snapshot, has with the same size, time and mode is linked, not
    copied.
    """
    present: Listing = {}
    if previous:
        # Linking all and mending is several times as quick as linking what is the same.
        process.run(["cp", "-al", "--", str(previous), str(target)], deadline=deadline)
        present = _stats(target, _walk(target, built=False))
    else:
        target.mkdir()
    changed = [path for path, entry in files.items() if present.get(path) != entry]
    for path in {*(present.keys() - files.keys()), *(present.keys() & set(changed))}:
        _remove(target, path)  # never written to: the older snapshot has the same file
    for number, path in enumerate(changed):
        destination = target / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree / path, destination, follow_symlinks=False)
        if number % _REPORT_EVERY == 0:
            deadline.check(f"copying {tree}")
            report(number, len(changed))


def _remove(root: Path, path: str) -> None:
    file = root / path
    file.unlink()
    for folder in file.parents:
        if folder == root or any(folder.iterdir()):
            break
        folder.rmdir()
