"""What a configuration begins with, before anybody's options: ``--config``.

``tiny`` is everything off (tinyconfig), ``defconfig`` the architecture's own, ``distro`` Debian's
for the same release, and anything else a file that somebody has.
"""

from __future__ import annotations

import difflib
import gzip
import io
import lzma
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.core import files
from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError, UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.host import apt, apt_lists
from toolkit.host.cache import Cache
from toolkit.kernel.kconfig import parse_config

FORMS = "tiny, defconfig, distro, distro:FLAVOUR (as in distro:cloud-amd64) or a file"
_TARGETS = {"tiny": "tinyconfig", "defconfig": "defconfig"}
_DISTRO = "distro"
_GZIP = b"\x1f\x8b"
_MAX_BYTES = 4 << 20  # a distribution's has 300 KB
_RELEASE = re.compile(r"\d+\.\d+")
_MEMBER = re.compile(r"config\.(?P<arch>\w+)_(?P<set>\w+)_(?P<flavour>[\w-]+)\.xz")


@dataclass(frozen=True, slots=True)
class StartingConfig:
    """A configuration before anybody's options. ``text`` is "" until :func:`fetched`, or for good.

    ``name`` is what the caller wrote, and is shown.
    """

    name: str
    text: str = ""

    @property
    def target(self) -> str:
        """The make target that writes it; "" where it is :attr:`text`."""
        return "" if self.text else _TARGETS.get(self.name, "")


TINY = StartingConfig("tiny")


def parse(word: str) -> StartingConfig:
    """Return what ``word`` names; reads a file at once.

    Raises :class:`UserError` for a word that is none of :data:`FORMS`, and for a file that is no
    configuration.
    """
    if word in _TARGETS or word.partition(":")[0] == _DISTRO:
        return StartingConfig(word)
    path = Path(word)
    if not {"/", "."} & set(word) and not path.is_file():
        near = difflib.get_close_matches(word, [*_TARGETS, _DISTRO], n=1)
        hint = f"did you mean {near[0]}?" if near else f"name {FORMS}"
        raise UserError(f"there is no configuration {word!r}", hint=hint)
    return StartingConfig(word, _read(path))


def _read(path: Path) -> str:
    """Return the text of a .config; a file like /proc/config.gz is unpacked."""
    try:
        content = files.content(path, _MAX_BYTES)
        if content.startswith(_GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot read the configuration {path}: {reason}",
            hint="name a .config that you may read",
        ) from error
    text = content.decode(errors="replace")
    if len(content) > _MAX_BYTES or not parse_config(text):
        raise UserError(
            f"{path} is no kernel configuration",
            hint="name a .config, such as /boot/config-$(uname -r) or /proc/config.gz",
        )
    return text


def fetched(
    start: StartingConfig, base: KernelBase, arch: Arch, cache: Cache, deadline: Deadline
) -> StartingConfig:
    """Return the configuration with its text, where it is a distribution's.

    It comes out of the linux-config package of the base's release, through the host's apt. Raises
    :class:`UserError` where apt has none, or not of this flavour.
    """
    if start.text or start.target:
        return start
    release = _RELEASE.match(base.release)
    package = f"linux-config-{release[0] if release else base.release}"
    lists = apt_lists.for_arch(arch, cache, deadline)
    try:
        (found,) = apt.candidates([package], cache, deadline, lists=lists)
    except ToolFailedError:
        raise
    except InfrastructureError as error:
        raise UserError(
            f"apt has no {package}: no configuration of Debian's for {base.name}",
            hint="name a file with --config, such as /boot/config-$(uname -r)",
        ) from error
    (deb,) = apt.fetch([found], cache, deadline, lists)
    flavours = {}
    for path, member in apt.contents(deb, deadline).items():
        if match := _MEMBER.fullmatch(Path(path).name):
            extra = "" if match["set"] == "none" else f"{match['set']}-"
            flavours[f"{extra}{match['flavour']}"] = member.content
    wanted = start.name.partition(":")[2] or found.architecture
    if wanted not in flavours:
        raise UserError(
            f"{package} has no configuration {wanted!r}",
            hint=f"there is: {', '.join(f'{_DISTRO}:{name}' for name in sorted(flavours))}",
        )
    return replace(start, text=lzma.decompress(flavours[wanted]).decode())
