"""Which of a series' files a build runs on the host, rather than only compiling them.

A Makefile, a Kconfig file, a script or a program that takes part in the build can write whatever
the build may write to. What is compiled for the target cannot, and neither can a line that adds an
object or an option, so a series of nothing but that may share what other builds use again: the
store of ccache (:func:`toolkit.kernel.make.ccache_environment`) and the build folders
(:class:`toolkit.kernel.build_folders.WorkTree`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from toolkit.core.model.series import PatchedFile, PatchedTree
from toolkit.host.cache import digest

# Nothing else is only compiled, assembled, translated or read by people.
_COMPILED = re.compile(
    r".*\.(?:[chS]|rs|dts|dtsi|dtso|rst|txt|svg)|MAINTAINERS|CREDITS|\.mailmap|(?:.*/)?\.gitignore"
    r"|Documentation/.*\.(?:yaml|json|dot)"
)
# Where host programs and what they include lie: `hostprogs` in the Makefiles of 6.1 to 6.19.
_RUN = re.compile(
    r"(?:scripts|usr|certs|samples|tools(?!/testing/selftests/))/"
    r"|arch/[^/]+/(?:.*/)?(?:tools|boot|vdso[^/]*|nvhe|pi)/"
    r"|(?:.*/)?(?:mk|(?:\w*_)?gen[-_]|conmakehash|pnmtologo)[^/]*\.c"
    r"|drivers/accessibility/speakup/|fs/unicode/|security/selinux/|rust/"
    # Headers that host programs include, as their .cmd files say.
    r"|include/(?:uapi/)?linux/(?:elf|crc|license|types|stddef|const|posix_types|mod_devicetable)"
    r"|include/(?:uapi/)?asm-generic/|lib/crc[^/]*\.h|arch/[^/]+/include/uapi/asm/"
    r"|arch/[^/]+/include/asm/(?:cpufeature|required-f|disabled-f|vmxfeature|orc_|inat|insn)"
)
# The build of a kernel does not enter it: make's kselftest targets do.
_SELFTESTS = "tools/testing/selftests/"
_KCONFIG = re.compile(r"Kconfig[\w.-]*")
_MAKEFILE = re.compile(r"(?:Makefile|Kbuild)[\w.-]*")
# To make an even number of backslashes continues nothing.
_CONTINUED = re.compile(r"(?<!\\)((?:\\\\)*)\\\n")
# Documentation/kbuild/makefiles.rst: obj-y, lib-y, kvm-y, kvm-objs, kvm-$(CONFIG_KVM_XEN).
_LIST = re.compile(r"[a-z][\w-]*-(?:y|m|objs|\$\(CONFIG_\w+\))\s*[:+]?=(?P<names>.*)")
_OBJECT = re.compile(r"(?:\$\([A-Z]+\)/)?\w(?:[\w-]|[./](?=[\w-]))*(?:\.o|/)")
_CONDITION = re.compile(r"ifn?def CONFIG_\w+|ifn?eq \(\$\(CONFIG_\w+\),[ym]?\)|else|endif")
# Documentation/kbuild/kconfig-macro-language.rst: what is expanded, and what gives a macro a value.
_MACRO = re.compile(r"[$`\\]|^\s*[\w-]+\s*[:+]?=")
_SOURCE = re.compile(r"\s*[or]{0,2}source\b")
_SOURCED = re.compile(r'\s*source\s+"(?:\w[\w-]*/)*Kconfig[\w-]*(?:\.[\w-]+)*"\s*')
_VALUE = re.compile(r"\s*default\b.*[\"']")  # make and the shell read the text of a string


def run_on_host(path: str) -> bool:
    """Return whether a build may run what is in this file of a tree; in doubt, it may."""
    return _COMPILED.fullmatch(path) is None or _RUN.match(path) is not None


def rules(tree: PatchedTree, *, selftests: bool = False) -> str:
    """Return a digest of all that a series changes of what a build runs; "" if that is nothing.

    It is the kernel's build, or that of ``selftests`` and what they need of the kernel.
    """
    changed: dict[str, object] = {}
    for path, file in tree.files.items():
        if run_on_host(path) and (selftests or not path.startswith(_SELFTESTS)):
            now, before = _run_part(path, _content(file)), _run_part(path, _read(tree, path))
            if now != before:
                changed[path] = now
    return digest(changed) if changed else ""


def _content(file: PatchedFile) -> tuple[bytes, bool] | None:
    return None if file.content is None else (file.content, file.executable)


def _read(tree: PatchedTree, path: str) -> tuple[bytes, bool] | None:
    file = tree.base.path / path
    try:
        return None if file.is_symlink() else (file.read_bytes(), bool(file.stat().st_mode & 0o100))
    except OSError:
        return None


def _run_part(path: str, file: tuple[bytes, bool] | None) -> list[str]:
    """Return what a build runs of a file: of a Makefile or a Kconfig file, not what only lists."""
    name = Path(path).name
    lists = not _RUN.match(path)
    if file and lists and _MAKEFILE.fullmatch(name):
        return [line for line in _lines(file[0]) if not _only_lists(line)]
    if file and lists and _KCONFIG.fullmatch(name):
        return [line for line in file[0].decode("latin-1").split("\n") if _may_run(line)]
    return [] if file is None else [digest(*file)]


def _lines(makefile: bytes) -> Iterator[str]:
    """Yield a Makefile's lines, each with those that continue it."""
    yield from _CONTINUED.sub(r"\1 ", makefile.decode("latin-1")).split("\n")


def _only_lists(line: str) -> bool:
    """Return whether a Makefile's line says nothing but which objects there are."""
    if line.startswith("\t"):
        return False  # of a recipe
    line = line.partition("#")[0].strip()
    listed = _LIST.fullmatch(line)
    if listed:
        return all(_OBJECT.fullmatch(name) for name in listed["names"].split())
    return not line or _CONDITION.fullmatch(line) is not None


def _may_run(line: str) -> bool:
    """Return whether a Kconfig line can have something run, now or when the build reads .config."""
    if _SOURCE.match(line):
        return _SOURCED.fullmatch(line) is None
    return _MACRO.search(line) is not None or _VALUE.match(line) is not None
