"""Confine what strangers wrote and a build runs: Makefiles, Kconfig, scripts, semantic patches.

The confined process sees the system's programs and the folders it is given, and no other file: no
home, no other entry of the cache, no socket of an agent. It has no network, its own process
numbers, a /tmp of its own, no capability, and an environment of the names in :data:`ENVIRONMENT`
alone. bubblewrap sets that up with user name spaces; where the host forbids them (a chroot, most
containers, some AppArmor profiles) nothing is confined, and :func:`probe` says why.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.core import paths
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolMissingError
from toolkit.host import process

PROGRAM, PACKAGE = "bwrap", "bubblewrap"
# What a build may know of the caller's environment; a name that ends in an underscore is a prefix.
ENVIRONMENT = ("PATH", "TERM", "TZ", "LANG", "LC_", "SOURCE_DATE_EPOCH", "KBUILD_", "CCACHE_")
_PROBE_SECONDS = 10.0
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Of /etc only what programs need to run: it also has the host's keys and password hashes.
_SETTINGS = (
    *("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"),
    *("nsswitch.conf", "passwd", "group", "perl", "coccinelle", "papersize"),
)
_TOOLS = ("gcc", "clang", "ld", "make", "ccache", "sparse", "spatch")
# The strictest of these that works is taken. Root needs no user name space, but without one it
# still is the host's root, if without a capability: what it owns it may change.
_NAMESPACES = (("--unshare-user", "--disable-userns"), ("--unshare-user",), ())
# make removes a target that it has half made when it gets SIGTERM, so it has to get it, and those
# above it have to stay meanwhile: when they end, all below is killed. The shell is process 1 of the
# name space; the kernel tells of its end once everything else in there is gone.
_IGNORE = ("--ignore-signal=TERM",)
_INNER = ("/bin/sh", "-c", '"$@"; exit $?', "sh", "env", "--default-signal=TERM")
_UNFINISHED = ".toolkit-unfinished"
_LAST_WORDS = 60.0  # seconds
_said = False  # to the user, in this process


@dataclass(frozen=True, slots=True)
class Support:
    """What the host allows: ``options`` of bubblewrap, or None and in ``detail`` why not."""

    options: tuple[str, ...] | None
    detail: str


@functools.cache
def probe() -> Support:
    """Return what this host allows, tried once in the life of the process."""
    try:
        program = process.find(PROGRAM, PACKAGE)
    except ToolMissingError:
        return Support(None, f"{PROGRAM} is not installed (Debian package {PACKAGE})")
    limit = Deadline.after(_PROBE_SECONDS)
    reason = ""
    for options in _NAMESPACES:
        if "--unshare-user" not in options and os.geteuid() != 0:
            continue
        try:
            words = _words(program, options, (), (), network=False)
            process.run(["true"], within=words, deadline=limit)
            version = process.run([program, "--version"], deadline=limit).text
        except InfrastructureError as error:
            reason = reason or next(iter(error.detail), error.what).strip()
            continue
        return Support(options, version.strip())
    return Support(None, f"this host does not let {PROGRAM} make name spaces: {reason}")


def describe() -> str:
    """Return what confined the builds of this process, "none: " and why, or "" before the first."""
    if not probe.cache_info().currsize:
        return ""
    support = probe()
    return support.detail if support.options is not None else f"none: {support.detail}"


def notice() -> str:
    """Return what has to be said where nothing is confined: the first time, then ""."""
    global _said
    support = probe()
    if support.options is not None or _said:
        return ""
    _said = True
    return f"what the build runs is not confined: {support.detail}"


def confine(
    *,
    writable: Iterable[Path] = (),
    readonly: Iterable[Path] = (),
    path: str | None = None,
    network: bool = False,
) -> tuple[str, ...]:
    """Return the words to put before a command (``within`` of :func:`process.run`).

    All folders and files must exist; one inside another has its own right. ``path`` is the PATH of
    the command if it is not the caller's. Nothing is returned where the host allows no sandbox.
    """
    support = probe()
    if support.options is None:
        return ()
    program = process.find(PROGRAM, PACKAGE)
    tools = toolchains(path or os.environ.get("PATH", os.defpath), paths.home())
    readable = (*tools, *readonly)
    return tuple(_words(program, support.options, writable, readable, network=network))


def sweep(folder: Path, *, links_to: Collection[Path] = ()) -> list[str]:
    """Remove what a confined command left in ``folder`` to lead the toolkit astray; say what.

    That is a link which leaves the folder for another place than one of ``links_to``, and what is
    neither a file nor a folder: who opens a pipe waits for ever. The toolkit reads and writes in
    there with more rights than the command had.
    """
    strange, folders = [], [folder]
    inside, allowed = folder.resolve(), {path.resolve() for path in links_to}
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_symlink():
                    target = _target(Path(entry.path))
                    if target is None or not (target.is_relative_to(inside) or target in allowed):
                        strange.append((entry.path, f"a link to {Path(entry.path).readlink()}"))
                elif not entry.is_file(follow_symlinks=False):
                    strange.append((entry.path, "neither a file nor a folder"))
    for path, _ in strange:
        Path(path).unlink()
    return [f"{os.path.relpath(path, folder)} was {what}" for path, what in strange]


@contextlib.contextmanager
def unfinished(folder: Path) -> Iterator[None]:
    """Within it a confined make writes to ``folder``; what one left half made goes first.

    Whatever kills the toolkit or the host kills make with it, before it can remove the target that
    it was making: which would then be newer than its sources, and count as up to date. So a file
    says that a make is at work, and where it still lies there, everything is removed that was
    written in the last minute before that make's end.
    """
    marker = folder / _UNFINISHED
    with contextlib.suppress(FileNotFoundError):
        began = marker.stat().st_mtime
        times = {path: path.lstat().st_mtime for path in folder.rglob("*") if path.is_file()}
        since = max(began, max(times.values()) - _LAST_WORDS)
        for path, written in times.items():
            if written >= since and not path.name.startswith((marker.name, ".config")):
                path.unlink()
    marker.write_text("")
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def is_unfinished(folder: Path) -> bool:
    """Return whether what last wrote to ``folder`` was killed; see :func:`unfinished`."""
    return (folder / _UNFINISHED).exists()


def _target(link: Path) -> Path | None:
    try:
        return link.resolve(strict=True)
    except FileNotFoundError:
        return link.resolve()
    except (OSError, RuntimeError):  # links in a circle: RuntimeError before Python 3.13
        return None


def referents(folder: Path) -> tuple[Path, ...]:
    """Return the files that symbolic links in ``folder`` lead to, for them to be readable, too."""
    links = (path for path in folder.iterdir() if path.is_symlink())
    return tuple(path.resolve() for path in links if path.is_file())


def _words(
    program: str,
    options: Iterable[str],
    writable: Iterable[Path],
    readonly: Iterable[Path],
    *,
    network: bool,
) -> list[str]:
    words = [process.find("env", "coreutils"), *_IGNORE, program, *options]
    words += ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    words += [] if network else ["--unshare-net"]
    words += ["--hostname", "toolkit", "--cap-drop", "ALL", "--die-with-parent", "--as-pid-1"]
    for name in _SYSTEM:
        words += _system_folder(Path("/") / name)
    for name in _SETTINGS:
        words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    # Root without a capability still owns the host's settings: proc_sys_permission() asks for
    # GLOBAL_ROOT_UID alone (fs/proc/proc_sysctl.c, test_perm()).
    words += ["--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
    words += ["--tmpfs", "/tmp"]  # noqa: S108 - its own
    rights = {place: "--ro-bind" for path in readonly for place in _names(path)}
    rights |= {place: "--bind" for path in writable for place in _names(path)}
    for path in sorted(rights, key=lambda path: len(path.parts)):
        words += [rights[path], str(path), str(path)]
    for name in sorted(os.environ):
        if not _passed_on(name):
            words += ["--unsetenv", name]
    words += ["--setenv", "HOME", "/tmp", "--setenv", "TMPDIR", "/tmp"]  # noqa: S108
    return [*words, "--remount-ro", "/", "--", *_INNER]


def _system_folder(path: Path) -> list[str]:
    """Bind a folder at the root, or make the link that merged-/usr systems have in its place."""
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _names(path: Path) -> set[Path]:
    """Return a path as the caller writes it, and as what runs there may find it."""
    return {Path(os.path.abspath(path)), path.resolve()}  # noqa: PTH100 - keeps links


def _passed_on(name: str) -> bool:
    return any(
        name.startswith(known) if known.endswith("_") else name == known for known in ENVIRONMENT
    )


def toolchains(path: str, home: Path | None) -> list[Path]:
    """Return the folders of a PATH with compilers and their like that are not the system's.

    A compiler in PREFIX/bin comes with PREFIX, but never with a whole home or a hidden folder in
    one: of ``~/.local/bin`` there is that folder alone. ``home`` is None where nobody knows one.
    """
    folders = {}
    for folder in map(Path, path.split(os.pathsep)):
        if not folder.is_absolute() or re.match(r"/(usr|bin|sbin|lib)(/|$)", str(folder)):
            continue
        if any(os.access(folder / name, os.X_OK) for name in _TOOLS):
            prefix = folder.parent
            above = home is not None and home.is_relative_to(prefix)
            private = above or any(part.startswith(".") for part in prefix.parts)
            folders[folder if private or folder.name != "bin" else prefix] = True
    return list(folders)
