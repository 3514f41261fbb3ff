"""``debian:6.12``: a linux-source package."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError, ToolMissingError, UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Observer
from toolkit.host import apt, process, unpack
from toolkit.host.cache import Cache, digest
from toolkit.kernel.source.provider import STAGE, Provider, in_mib, store

FORM = "debian:6.12"
_VERSION = re.compile(r"\d+\.\d+")


def parse(spec: str, rest: str) -> Provider:
    """Return the package for a version; raise :class:`UserError` for anything else."""
    return linux_source(spec, rest, FORM)


def linux_source(spec: str, version: str, form: str) -> Debian:
    """Return the package for a version such as 6.12, which ``spec`` names in this ``form``.

    Raises :class:`UserError` for what is no version.
    """
    if not _VERSION.fullmatch(version):
        raise UserError(f"{spec!r} names no kernel version", hint=f"write it as {form}")
    return Debian(spec, f"linux-source-{version}")


@dataclass(frozen=True, slots=True)
class Debian:
    """A linux-source package, as the host's apt finds, signs and checks it."""

    spec: str
    package: str

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """See :class:`Provider`."""
        package = self.candidate(cache, deadline)

        def fill(tree: Path) -> None:
            observer.stage_progress(STAGE, 0, None, f"downloading {package.name}")
            (deb,) = apt.fetch([package], cache, deadline)
            inner = tree.with_name("source.tar.xz")
            member = f"usr/src/{package.name}.tar.xz"
            unpack.deb_member(deb, member, inner, deadline)
            cache.remove_tree(deb.parent)  # 150 MB that are not needed again
            unpack.unpack(inner, tree, in_mib(observer, "MiB unpacked"), deadline)
            inner.unlink()

        key = digest("debian", package.name, package.version, package.sha256)
        return store(self.spec, key, fill, cache, deadline)

    def candidate(self, cache: Cache, deadline: Deadline) -> apt.Package:
        """Return the version of the package that apt would install.

        Raises :class:`UserError` without apt, and where it has no such package.
        """
        try:
            (package,) = apt.candidates([self.package], cache, deadline)
        except ToolMissingError as error:
            raise UserError(
                f"{self.spec} needs apt, which this host does not have",
                hint="name another source with --kernel, such as tree:PATH",
            ) from error
        except ToolFailedError:
            raise
        except InfrastructureError as error:
            specs = self._available(deadline)
            listed = f"apt has {', '.join(specs)}" if specs else "apt has no kernel source"
            raise UserError(
                f"apt has no package {self.package}",
                hint=f"{listed}; run `apt-get update` (as root) if its lists are old",
            ) from error

        return package

    @staticmethod
    def _available(deadline: Deadline) -> list[str]:
        argv = ["apt-cache", "pkgnames", "linux-source-"]
        names = process.run(argv, deadline=deadline, check=False).text.split()
        versions = [name.removeprefix("linux-source-") for name in names]
        return sorted(f"debian:{text}" for text in versions if _VERSION.fullmatch(text))
