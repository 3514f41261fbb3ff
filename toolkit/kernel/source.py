"""Kernel sources: whatever they come from, they end as a pristine tree in the cache.

===================================== =====================================================
``debian:6.12``                       the package linux-source-6.12, through the host's apt
``tarball:PATH-or-URL#sha256=HEX``    an archive; the checksum is not optional
``git:PATH@REV``                      a commit of a local repository (HEAD without ``@REV``)
``tree:PATH``                         a folder, in the state it is in; it is never written to
===================================== =====================================================

What a provider returns is shared between runs: nobody may write to it.
"""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError, ToolMissingError, UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Observer
from toolkit.host import apt, integrity, process, unpack
from toolkit.host.cache import Cache, digest
from toolkit.host.download import check, download, sha256_of
from toolkit.host.git import Repository
from toolkit.kernel import git_export, tree_snapshot
from toolkit.kernel.git_export import Near

KIND = "source"  # of cache entries
STAGE = "fetch"  # under which progress is told

_FORMS = "debian:6.12, tarball:PATH-or-URL#sha256=HEX, git:PATH@REV, tree:PATH"
_VERSION = re.compile(r"\d+\.\d+")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_RELEASE = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION)[ \t]*=[ \t]*(\S*)[ \t]*$", re.M)
_MIB = 1 << 20
_ATTEMPTS = 3


class Provider(Protocol):
    """Knows how to get one kernel source."""

    @property
    def spec(self) -> str:
        """What the caller named it by."""

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """Return the base, and whether the cache had it.

        Raises :class:`UserError` for a source that does not exist or is no kernel, and
        :class:`InfrastructureError` when it cannot be brought here.
        """


def provider(spec: str, sha256: str | None = None) -> Provider:
    """Return the provider for ``spec``, which is one of the forms above.

    ``sha256`` may stand apart from the name of a tarball. Raises :class:`UserError` for any
    other form.
    """
    scheme, colon, rest = spec.partition(":")
    if sha256 is not None and scheme != "tarball":
        raise UserError(f"a checksum goes with a tarball, not with {spec!r}")
    match scheme:
        case "debian" if _VERSION.fullmatch(rest):
            return Debian(spec, f"linux-source-{rest}")
        case "debian":
            raise UserError(f"{spec!r} names no kernel version", hint="write it as debian:6.12")
        case "tarball" if rest:
            return _tarball(spec, rest, sha256)
        case "git" if rest:
            return _git(spec, rest)
        case "tree" if rest:
            return Tree(spec, Path(rest).expanduser())
    hint = f"the forms are {_FORMS}"
    if not colon and Path(spec).expanduser().is_dir():
        hint = f"did you mean tree:{spec}? {hint}"
    raise UserError(f"{spec!r} names no kernel source", hint=hint)


def _tarball(spec: str, rest: str, sha256: str | None) -> Provider:
    place, _, fragment = rest.partition("#")
    if fragment:
        if not fragment.startswith("sha256=") or sha256:
            raise UserError(f"{spec!r}: only one #sha256=HEX may follow the name")
        sha256 = fragment.removeprefix("sha256=")
    if sha256 is None:
        raise UserError(
            f"{spec!r} has no checksum",
            hint=f"write tarball:{place}#sha256=HEX, with what sha256sum or the publisher says",
        )
    if not _SHA256.fullmatch(sha256):
        raise UserError(f"{spec!r}: a SHA-256 has 64 hex digits, this one is {sha256!r}")
    return Tarball(spec, place, sha256.lower())


def _git(spec: str, rest: str) -> Provider:
    # Both a folder and a revision (HEAD@{1}) may have an @: the shortest folder there is wins.
    for match in re.finditer("@", rest):
        path = Path(rest[: match.start()]).expanduser()
        if path.is_dir():
            return Git(spec, path, rest[match.end() :] or "HEAD")
    return Git(spec, Path(rest).expanduser(), "HEAD")


def release(tree: Path) -> str:
    """Return a kernel tree's version, 6.12.117, from its Makefile.

    Raises :class:`UserError` when ``tree`` is no kernel.
    """
    try:
        with (tree / "Makefile").open("rb") as file:
            text = file.read(4096).decode(errors="replace")
    except OSError:
        text = ""
    found: dict[str, str] = {}
    for name, value in _RELEASE.findall(text):
        found.setdefault(name, value)
    if not (found.get("VERSION", "").isdigit() and found.get("PATCHLEVEL", "").isdigit()):
        raise UserError(
            f"{tree} holds no Linux kernel: its Makefile gives no VERSION and PATCHLEVEL",
            hint="give the folder or archive whose top has the kernel's Makefile",
        )
    numbers = f"{found['VERSION']}.{found['PATCHLEVEL']}.{found.get('SUBLEVEL') or 0}"
    return numbers + found.get("EXTRAVERSION", "")


def _store(
    spec: str, key: str, fill: Callable[[Path], None], cache: Cache, deadline: Deadline
) -> tuple[KernelBase, bool]:
    """Return the cached source with this key; ``fill`` makes its tree where there is none."""

    def fill_entry(folder: Path) -> None:
        fill(folder / "tree")
        (folder / "release").write_text(_release_of(spec, folder / "tree"))
        integrity.remember_stamps(folder / "tree")

    folder, found = cache.make(KIND, key, fill_entry, deadline=deadline, label=spec, checked=False)
    return KernelBase(spec, (folder / "release").read_text(), folder / "tree", key), found


def _release_of(spec: str, tree: Path) -> str:
    try:
        return release(tree)
    except UserError as error:
        raise UserError(f"{spec} holds no Linux kernel", hint=error.hint) from error


def _in_mib(observer: Observer, text: str) -> Callable[[int, int | None], None]:
    """Return what turns counts of bytes into the observer's progress, in MiB."""

    def report(done: int, total: int | None) -> None:
        observer.stage_progress(STAGE, done // _MIB, total // _MIB if total else None, text)

    return report


# --- providers ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Debian:
    """A linux-source package, as the host's apt finds, signs and checks it."""

    spec: str
    package: str

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """See :class:`Provider`."""
        (package,) = self._candidate(cache, deadline)

        def fill(tree: Path) -> None:
            observer.stage_progress(STAGE, 0, None, f"downloading {package.name}")
            (deb,) = apt.fetch([package], cache, deadline)
            inner = tree.with_name("source.tar.xz")
            member = f"usr/src/{package.name}.tar.xz"
            unpack.deb_member(deb, member, inner, deadline)
            cache.remove_tree(deb.parent)  # 150 MB that nobody will ask for again
            unpack.unpack(inner, tree, _in_mib(observer, "MiB unpacked"), deadline)
            inner.unlink()

        key = digest("debian", package.name, package.version, package.sha256)
        return _store(self.spec, key, fill, cache, deadline)

    def _candidate(self, cache: Cache, deadline: Deadline) -> tuple[apt.Package, ...]:
        try:
            return apt.candidates([self.package], cache, deadline)
        except ToolMissingError as error:
            raise UserError(
                f"{self.spec} needs apt, which this host does not have",
                hint=f"name another source with --kernel: {_FORMS.partition(', ')[2]}",
            ) from error
        except ToolFailedError:
            raise
        except InfrastructureError as error:
            known = self._known(deadline)
            listed = f"apt knows {', '.join(known)}" if known else "apt knows no kernel source"
            raise UserError(
                f"apt knows no package {self.package}",
                hint=f"{listed}; run `apt-get update` (as root) if its lists are old",
            ) from error

    @staticmethod
    def _known(deadline: Deadline) -> list[str]:
        argv = ["apt-cache", "pkgnames", "linux-source-"]
        names = process.run(argv, deadline=deadline, check=False).text.split()
        versions = [name.removeprefix("linux-source-") for name in names]
        return sorted(f"debian:{text}" for text in versions if _VERSION.fullmatch(text))


@dataclass(frozen=True, slots=True)
class Tarball:
    """An archive, here or on a server. ``sha256`` is in lower-case hex."""

    spec: str
    place: str
    sha256: str

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """See :class:`Provider`."""

        def fill(tree: Path) -> None:
            report = _in_mib(observer, "MiB unpacked")
            if "://" in self.place:
                name = Path(urllib.parse.urlsplit(self.place).path).name or "archive"
                file = tree.with_name("download-" + name[-100:])
                progress = _in_mib(observer, "MiB downloaded")
                download(self.place, self.sha256, file, progress, deadline)
                unpack.unpack(file, tree, report, deadline)
                file.unlink()
                return
            file = Path(self.place).expanduser()
            try:
                check(str(file), sha256_of(file), self.sha256)
            except OSError as error:
                raise UserError(f"cannot read {file}: {error.strerror}") from error
            unpack.unpack(file, tree, report, deadline)

        return _store(self.spec, digest("tarball", self.sha256), fill, cache, deadline)


@dataclass(frozen=True, slots=True)
class Git:
    """The tree of one commit of a local repository."""

    spec: str
    path: Path
    revision: str

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """See :class:`Provider`."""
        if not self.path.is_dir():
            raise UserError(f"{self.spec}: there is no folder {self.path}")
        repository = Repository(self.path)
        # The tree's own id, not the commit's: what depends on the commit must not get in.
        tree_id = repository.tree_id(self.revision, deadline)
        lineage = digest("git", str(repository.folder(deadline)))
        latest = cache.root / KIND / f"latest-{lineage}.json"
        attributes = digest(repository.attributes(deadline))

        def fill(tree: Path) -> None:
            observer.stage_progress(STAGE, 0, None, f"git archive {self.revision}")
            git_export.export(
                repository,
                tree_id,
                tree,
                near=_near(latest, attributes, cache),
                report=_in_mib(observer, "MiB unpacked"),
                deadline=deadline,
            )

        base, found = _store(self.spec, _git_key(tree_id), fill, cache, deadline)
        if not found:
            _remember(latest, [tree_id, attributes])
        return replace(base, lineage=lineage), found


def _git_key(tree_id: str) -> str:
    return digest("git", tree_id)


def _near(pointer: Path, attributes: str, cache: Cache) -> Near | None:
    """Return the commit's tree that was exported last from the repository of ``pointer``."""
    try:
        tree_id, those = json.loads(pointer.read_text())
        folder = cache.find(KIND, _git_key(tree_id)) if those == attributes else None
    except (OSError, ValueError, TypeError):
        return None
    return Near(tree_id, folder / "tree") if folder and _sound(folder) else None


def _sound(folder: Path) -> bool:
    """Return whether another tree may be made out of this entry's files."""
    return not integrity.stamp_damage(folder / "tree")


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder as it is now; the cache gets a snapshot of it."""

    spec: str
    path: Path

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """See :class:`Provider`."""
        path = Path(os.path.realpath(self.path))
        if not path.is_dir():
            raise UserError(f"{self.spec}: there is no folder {self.path}")
        release(path)
        for _ in range(_ATTEMPTS):
            files = tree_snapshot.listing(path, deadline)
            base = self._snapshot(path, files, cache, observer, deadline)
            if base:
                return base
        raise UserError(f"{path} keeps changing while it is copied", hint="let it come to rest")

    def _snapshot(
        self,
        path: Path,
        files: tree_snapshot.Listing,
        cache: Cache,
        observer: Observer,
        deadline: Deadline,
    ) -> tuple[KernelBase, bool] | None:
        """Return the snapshot, or None when the tree changed meanwhile."""
        key = digest("tree", str(path), files)
        latest = cache.root / KIND / f"latest-{digest(str(path))}.json"

        def fill(tree: Path) -> None:
            previous = _latest(latest, cache)

            def report(done: int, total: int | None) -> None:
                observer.stage_progress(STAGE, done, total, "files copied")

            try:
                tree_snapshot.snapshot(
                    path, files, tree, previous=previous, report=report, deadline=deadline
                )
            except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
                raise _ChangedError from error
            if tree_snapshot.listing(path, deadline) != files:
                raise _ChangedError

        try:
            base, found = _store(self.spec, key, fill, cache, deadline)
        except _ChangedError:
            return None
        except OSError as error:
            raise InfrastructureError(f"cannot copy {path}: {error}") from error
        if not found:
            _remember(latest, key)
        return replace(base, lineage=digest("tree", str(path))), found


class _ChangedError(Exception):
    """The tree changed while it was copied."""


def _remember(pointer: Path, newest: object) -> None:
    temporary = pointer.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(newest))
    temporary.rename(pointer)


def _latest(pointer: Path, cache: Cache) -> Path | None:
    """Return the newest snapshot of the tree that ``pointer`` belongs to, or None."""
    try:
        folder = cache.find(KIND, json.loads(pointer.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return folder / "tree" if folder and _sound(folder) else None
