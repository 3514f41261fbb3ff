"""``debian-image:6.12``: the kernel that Debian built of a linux-source package.

The source comes as for ``debian:6.12``, and with the same key, so that both share what is made of
it. Where apt has no kernel of the same version, that source is all there is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Observer
from toolkit.host.cache import Cache
from toolkit.kernel.prebuilt import packages
from toolkit.kernel.source import debian
from toolkit.kernel.source.debian import Debian
from toolkit.kernel.source.provider import STAGE, Provider

FORM = "debian-image:6.12"


def parse(spec: str, rest: str) -> Provider:
    """Return the kernel of a version; raise :class:`UserError` for anything else."""
    return DebianImage(spec, rest, debian.linux_source(spec, rest, FORM))


@dataclass(frozen=True, slots=True)
class DebianImage:
    """A linux-image package beside the linux-source package that it was built from."""

    spec: str
    series: str  # 6.12
    source: Debian

    def fetch(
        self, cache: Cache, observer: Observer, deadline: Deadline
    ) -> tuple[KernelBase, bool]:
        """See :class:`Provider`."""
        base, cached = self.source.fetch(cache, observer, deadline)
        package = self.source.candidate(cache, deadline)
        found = packages.find(package, self.series, cache, deadline)
        if found is None:
            observer.notice(
                f"apt has no built kernel of {package.name} {package.version}:"
                " the whole kernel is built"
            )
            return base, cached
        observer.stage_progress(STAGE, 0, None, f"fetching {found[0].name}")
        prebuilt, had = packages.fetch(found, cache, deadline)
        return replace(base, prebuilt=prebuilt), cached and had
