"""``tarball:PATH-or-URL#sha256=HEX``: an archive, local or on a server."""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from toolkit.core import paths
from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.observer import Observer
from toolkit.host import unpack
from toolkit.host.cache import Cache, digest
from toolkit.host.download import check, download, sha256_of
from toolkit.kernel.source.provider import Provider, in_mib, store

FORM = "tarball:PATH-or-URL#sha256=HEX"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def parse(spec: str, rest: str) -> Provider:
    """Return the archive and its checksum; raise :class:`UserError` if either is missing."""
    place, _, fragment = rest.partition("#")
    if not fragment:
        raise UserError(
            f"{spec!r} has no checksum",
            hint=f"write tarball:{place}#sha256=HEX, with what sha256sum or the publisher says",
        )
    if not fragment.startswith("sha256="):
        raise UserError(f"{spec!r}: only #sha256=HEX may follow the name")
    sha256 = fragment.removeprefix("sha256=")
    if not _SHA256.fullmatch(sha256):
        raise UserError(f"{spec!r}: a SHA-256 has 64 hex digits, this one is {sha256!r}")
    return Tarball(spec, place, sha256.lower())


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
            report = in_mib(observer, "MiB unpacked")
            if "://" in self.place:
                name = Path(urllib.parse.urlsplit(self.place).path).name or "archive"
                file = tree.with_name("download-" + name[-100:])
                progress = in_mib(observer, "MiB downloaded")
                download(self.place, self.sha256, file, progress, deadline)
                unpack.unpack(file, tree, report, deadline)
                file.unlink()
                return
            file = paths.expand(self.place)
            try:
                check(str(file), sha256_of(file), self.sha256)
            except OSError as error:
                raise UserError(f"cannot read {file}: {error.strerror}") from error
            unpack.unpack(file, tree, report, deadline)

        return store(self.spec, digest("tarball", self.sha256), fill, cache, deadline)
