"""The sources of the host's apt, and its lists for an architecture that the host does not know.

``dpkg --add-architecture`` would change the host, and needs root. apt can be told to be another
architecture's own instead, with lists of its own: these come from the host's sources, are checked
against the same keys, and lie in the cache.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError
from toolkit.host import process
from toolkit.host.cache import Cache, digest

SOURCES = (Path("/var/lib/apt/lists"), Path("/etc/apt"))  # the lists, the sources and pins
STATE = (*SOURCES, Path("/var/lib/dpkg/status"))  # and what is installed
# One line for each index that apt uses: who made the release, and where it is.
_TARGETS = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
_DISTRIBUTIONS = ("Debian", "Ubuntu")
_KIND = "apt-lists"
_SECONDS = 300.0  # for a mirror to answer


@dataclass(frozen=True, slots=True)
class Lists:
    """What apt knows of one architecture. ``options`` are apt's, and ``key`` changes with them."""

    architecture: str  # as dpkg calls it
    options: tuple[str, ...]
    key: str


def apt_stamp(roots: Sequence[Path] = STATE, *parts: object) -> str:
    """Return a text that changes whenever apt may answer differently; takes little time.

    ``parts`` are what else it stands for.
    """
    state = []
    for root in roots:
        for path in [root, *sorted(root.rglob("*"))]:
            if path.name in ("lock", "partial") or not path.is_file():
                continue
            info = path.stat()
            state.append((str(path), info.st_size, info.st_mtime_ns))
    return digest(state, *parts)


def host_suite() -> str:
    """Return the code name of the release that this host runs, from os-release(5)."""
    try:
        suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:
        suite = ""
    if not suite:
        raise InfrastructureError(
            "this host's /etc/os-release names no release",
            hint="give `suite` below `disk` in image.yaml",
        )
    return suite


def targets(deadline: Deadline) -> str:
    """Return what apt says of its sources, for :func:`sources`."""
    apt_get = process.find("apt-get", "apt")
    return process.run(
        [apt_get, "indextargets", "--format", _TARGETS, "Created-By: Packages"], deadline=deadline
    ).text


def sources(targets: str, suite: str, instead: str = "", architecture: str = "") -> list[str]:
    """Return sources.list(5) lines for ``suite`` out of what :func:`targets` returns.

    Only what the distribution itself signs for that suite counts (its updates and security
    among it), so that the guest gets what the host would get, from the same mirrors. With
    ``architecture`` it is the same for that architecture, and with ``instead`` only that release
    itself, which is on any mirror that has both.
    """
    lines: dict[str, None] = {}
    for target in targets.splitlines():
        fields = target.split("|")
        if len(fields) != 6:
            continue
        origin, codename, uri, release, component, signed_by = fields
        if origin not in _DISTRIBUTIONS or codename.partition("-")[0] != suite:
            continue
        options = [f"arch={architecture}"] if architecture else []
        options += [f"signed-by={signed_by}"] if signed_by.startswith("/") else []
        if instead and release != suite:
            continue
        within = f"[{' '.join(options)}] " if options else ""
        lines[f"deb {within}{uri} {instead or release} {component}"] = None
    return list(lines)


def of(architecture: str, cache: Cache, deadline: Deadline, suite: str = "") -> Lists:
    """Return the lists of an architecture, fetched where the host's have changed since.

    ``suite`` is the release instead of the host's own. Raises :class:`InfrastructureError` where
    the host's sources do not have the architecture.
    """
    own = host_suite()

    def fill(folder: Path) -> None:
        lines = sources(targets(deadline), own, suite, architecture)
        if not lines:
            raise InfrastructureError(
                f"apt on this host has no source for {own}",
                hint="run `apt-get update` (as root), so that apt has its lists",
            )
        (folder / "sources.list").write_text("".join(f"{line}\n" for line in lines))
        (folder / "status").touch()
        (folder / "lists/partial").mkdir(parents=True)
        apt_get = process.find("apt-get", "apt")
        limit = deadline.sooner(_SECONDS)
        try:
            process.run([apt_get, *_options(architecture, folder), "update"], deadline=limit)
        except ToolFailedError as error:
            raise InfrastructureError(
                f"apt cannot fetch the lists of {architecture}",
                hint=f"does the mirror that this host uses have {architecture}, and is it there?",
                detail=error.detail,
            ) from error

    key = apt_stamp(SOURCES, architecture, own, suite)
    label = f"{architecture}, {suite or own}"
    path, _ = cache.make(_KIND, key, fill, deadline=deadline, label=label)
    return Lists(architecture, _options(architecture, path), key)


def for_arch(arch: Arch, cache: Cache, deadline: Deadline) -> Lists | None:
    """Return the lists of an architecture; None where the host's apt is of that one itself.

    Where the host's release does not have the architecture yet, they are of the first that does.
    Raises as :func:`of`.
    """
    if not arch.cross:
        return None
    suite = arch.debian_since if host_suite() in arch.debian_without else ""
    return of(arch.debian, cache, deadline, suite)


def _options(architecture: str, folder: Path) -> tuple[str, ...]:
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        # An index of the lists would be written beside the host's own.
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        # As root, apt would switch to its own user, who cannot write here.
        "APT::Sandbox::User": "root",
    }
    return tuple(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))
