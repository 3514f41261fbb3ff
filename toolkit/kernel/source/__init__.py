"""Kernel sources: wherever one comes from, it ends as a pristine tree in the cache.

===================================== =====================================================
``debian:6.12``                       the package linux-source-6.12, through the host's apt
``debian-image:6.12``                 the same with the kernel that Debian built of it
``tarball:PATH-or-URL#sha256=HEX``    an archive; the checksum is not optional
``git:PATH@REV``                      a commit of a local repository (HEAD without ``@REV``)
``tree:PATH``                         a folder in its present state; it is never written to
===================================== =====================================================

Each has its own module here, which :data:`SCHEMES` names.

What a provider returns is shared between runs and must not be written to.
"""

from __future__ import annotations

from typing import Protocol

from toolkit.core import paths
from toolkit.core.errors import UserError
from toolkit.kernel.source import debian, debian_image, git, tarball, tree
from toolkit.kernel.source.provider import Provider


class Scheme(Protocol):
    """What a module of this package has."""

    FORM: str

    def parse(self, spec: str, rest: str) -> Provider:
        """Return the provider for ``spec``, which has ``rest`` after its scheme and colon."""


SCHEMES: dict[str, Scheme] = {
    "debian": debian,
    "debian-image": debian_image,
    "tarball": tarball,
    "git": git,
    "tree": tree,
}


def parse(spec: str) -> Provider:
    """Return the provider for ``spec``; raise :class:`UserError` if it has none of the forms."""
    scheme, colon, rest = spec.partition(":")
    module = SCHEMES.get(scheme)
    if module and colon and rest:
        return module.parse(spec, rest)
    hint = f"the forms are {', '.join(module.FORM for module in SCHEMES.values())}"
    if not colon and paths.expand(spec).is_dir():
        hint = f"did you mean tree:{spec}? {hint}"
    raise UserError(f"{spec!r} names no kernel source", hint=hint)
