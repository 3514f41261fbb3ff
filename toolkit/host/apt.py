"""Debian packages as a source of files: downloaded by the host's apt, checked, never installed.

Nothing here needs root. apt's own signatures say what a package's SHA-256 is; every download
is held against it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError
from toolkit.host import process
from toolkit.host.apt_lists import Lists, apt_stamp
from toolkit.host.cache import Cache, digest

_MERGED = ("bin", "sbin", "lib", "lib64")  # folders that lie in /usr since the usr merge
_MAX_LINKS = 16


@dataclass(frozen=True, slots=True)
class Package:
    """One version of one package, as apt's signed lists describe it."""

    name: str
    version: str
    architecture: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Member:
    """One file or symbolic link of a package."""

    content: bytes
    executable: bool
    target: str = ""  # where it points, when it is a link


# --- which version -----------------------------------------------------------------------


def candidates(
    names: Sequence[str],
    cache: Cache,
    deadline: Deadline,
    stamp: str | None = None,
    lists: Lists | None = None,
) -> tuple[Package, ...]:
    """Return the version of each package that apt would install, in the order of ``names``.

    ``lists`` are those of another architecture than the host's. Asking apt takes most of a second,
    so its answer is kept as long as its lists do not change. Raises :class:`InfrastructureError`
    for a package that apt does not have.
    """

    def fill(folder: Path) -> None:
        packages = [asdict(package) for package in _ask_apt(names, deadline, lists)]
        (folder / "packages.json").write_text(json.dumps(packages, indent=1))

    key = digest(sorted(names), stamp or apt_stamp(), *([lists.key] if lists else []))
    path, _ = cache.make("apt", key, fill, deadline=deadline, label=" ".join(sorted(names))[:60])
    packages = {entry["name"]: Package(**entry) for entry in _read_json(path / "packages.json")}
    return tuple(packages[name] for name in names)


def _read_json(path: Path) -> list[dict[str, str]]:
    data: list[dict[str, str]] = json.loads(path.read_text())
    return data


def _ask_apt(names: Sequence[str], deadline: Deadline, lists: Lists | None) -> list[Package]:
    architecture = lists.architecture if lists else _native(deadline)
    show = [process.find("apt-cache", "apt"), *(lists.options if lists else ()), "show"]
    wanted = [f"{name}:{architecture}" for name in names]
    # It exits with 100 when one of them is unknown; the error below says which.
    candidate = process.run([*show, "--no-all-versions", *wanted], deadline=deadline, check=False)
    packages = parse_records(candidate.text, architecture)
    if missing := [name for name in names if name not in packages]:
        # A version that is installed but in no list has no checksum: any listed one will do.
        every = process.run([*show, *missing], deadline=deadline, check=False)
        packages = {**parse_records(every.text, architecture), **packages}
    if missing := [name for name in names if name not in packages]:
        raise InfrastructureError(
            f"apt has no package {', '.join(missing)} for {architecture}",
            hint="run `apt-get update` (as root) so that apt has its lists; if that does not "
            "help, the package has another name on this distribution",
        )
    return [packages[name] for name in names]


def _native(deadline: Deadline) -> str:
    dpkg = process.find("dpkg", "dpkg")
    return process.run([dpkg, "--print-architecture"], deadline=deadline).text.strip()


def parse_records(text: str, native: str) -> dict[str, Package]:
    """Return the packages that ``apt-cache show`` printed, by name; the first of a name counts.

    Records without a checksum (a version that is installed but that no source offers) and
    those of other architectures than ``native`` are left out.
    """
    packages: dict[str, Package] = {}
    for record in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in record.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith((" ", "\t")):
                fields[name] = value.strip()
        if fields.get("Architecture") not in (native, "all"):
            continue
        if all(fields.get(name) for name in ("Package", "Version", "SHA256")):
            package = Package(
                fields["Package"], fields["Version"], fields["Architecture"], fields["SHA256"]
            )
            packages.setdefault(package.name, package)
    return packages


# --- the files themselves ----------------------------------------------------------------


def fetch(
    packages: Iterable[Package], cache: Cache, deadline: Deadline, lists: Lists | None = None
) -> list[Path]:
    """Return the .deb file of each package, downloaded unless the cache has it.

    ``lists`` are those that the packages were found in, where they are not the host's own.
    Raises :class:`InfrastructureError` when a download fails or differs from its checksum.
    """
    packages = list(packages)
    missing = [package for package in packages if not cache.find("deb", _key(package))]
    if missing:
        _download(missing, cache, deadline, lists.options if lists else ())
    paths = []
    for package in packages:
        folder = cache.find("deb", _key(package)) or cache.root / "deb" / _key(package)
        paths.append(folder / "package.deb")
    return paths


def _key(package: Package) -> str:
    return digest(asdict(package))


def _download(
    packages: Sequence[Package], cache: Cache, deadline: Deadline, options: Sequence[str]
) -> None:
    apt_get = process.find("apt-get", "apt")
    with tempfile.TemporaryDirectory(prefix="toolkit-debs.") as name:
        folder = Path(name)
        # As root, apt would switch to its own user, who cannot write here.
        line = [apt_get, "--quiet", "-o", "APT::Sandbox::User=root", *options, "download"]
        wanted = [f"{p.name}:{p.architecture}={p.version}" for p in packages]
        wanted = [text.replace(":all=", "=") for text in wanted]
        try:
            process.run([*line, *wanted], cwd=folder, deadline=deadline)
        except ToolFailedError as error:
            raise InfrastructureError(
                f"apt-get cannot download {', '.join(p.name for p in packages)}",
                hint="run `apt-get update` (as root): the lists may be older than the mirror; "
                "without a network only what the cache holds can be used",
                detail=error.detail,
            ) from error
        loaded = {_sha256(path): path for path in folder.glob("*.deb")}
        for package in packages:
            source = loaded.get(package.sha256)
            if source is None:
                raise InfrastructureError(
                    f"what apt-get downloaded for {package.name} {package.version} does not have "
                    f"the SHA-256 that its lists promise ({package.sha256})",
                    hint="a mirror or proxy may be broken; try again",
                )
            cache.make(
                "deb",
                _key(package),
                functools.partial(_copy, source),
                deadline=deadline,
                label=f"{package.name} {package.version}",
            )


def _copy(source: Path, folder: Path) -> None:
    shutil.copyfile(source, folder / "package.deb")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def contents(deb: Path, deadline: Deadline) -> dict[str, Member]:
    """Return the files and links in a package, by :func:`merged` path; folders are left out."""
    dpkg_deb = process.find("dpkg-deb", "dpkg")
    archive = process.run([dpkg_deb, "--fsys-tarfile", str(deb)], deadline=deadline).stdout
    members: dict[str, Member] = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for info in tar:
            path = merged(info.name)
            if info.issym():
                target = posixpath.join(posixpath.dirname("/" + info.name), info.linkname)
                members[path] = Member(b"", executable=False, target=merged(target))
            elif info.islnk():
                members[path] = members[merged(info.linkname)]
            elif file := tar.extractfile(info):
                members[path] = Member(file.read(), bool(info.mode & 0o111))
    return members


def merged(path: str) -> str:
    """Return ``path`` without a leading slash, and below usr/ what the usr merge moved there.

    Packages of one release may name the same file /lib/x and /usr/lib/x.
    """
    path = posixpath.normpath("/" + path).lstrip("/")
    return f"usr/{path}" if path.split("/")[0] in _MERGED else path


def resolve(tree: Mapping[str, Member], path: str) -> Member | None:
    """Return the file that ``path`` leads to in ``tree``, through links, or None."""
    for _ in range(_MAX_LINKS):
        member = tree.get(merged(path))
        if member is None or not member.target:
            return member
        path = member.target
    return None
