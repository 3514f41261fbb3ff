"""A kernel: its source, its configuration and its build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LINKED = "vmlinux"  # what the linker writes
SYSTEM_MAP = "System.map"  # beside it


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """A distribution's kernel, unpacked into a folder; ``key`` changes whenever its content does.

    ``release`` is what uname -r says, and ``package`` what people know it by: the package's name
    and version, and the beginning of its SHA-256.
    """

    path: Path
    key: str
    release: str
    package: str

    @property
    def image(self) -> Path:
        """What QEMU boots."""
        return self.path / "kernel"

    @property
    def config(self) -> Path:
        """Its whole configuration."""
        return self.path / "config"

    @property
    def symvers(self) -> Path:
        """The symbols that kernel and modules export, with their CRCs."""
        return self.path / "Module.symvers"

    @property
    def types(self) -> Path:
        """A file called vmlinux, with the kernel's BTF and little else; it may be absent."""
        return self.path / LINKED

    @property
    def modules(self) -> Path:
        """Its modules, as they are installed."""
        return self.path / "modules"


@dataclass(frozen=True, slots=True)
class KernelBase:
    """An unpacked, pristine kernel source. ``key`` changes whenever its content does.

    Bases of one ``lineage`` follow each other in one work folder, as the states of a tree that
    somebody edits do; "" means that the base is alone. ``prebuilt`` is a kernel that was built from
    this source and takes the place of a build where a series reaches modules alone.
    """

    name: str  # debian:6.12
    release: str  # 6.12.117, from its Makefile
    path: Path
    key: str
    lineage: str = ""
    prebuilt: Prebuilt | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a git repository, with what a person knows it by."""

    id: str  # in full
    author: str  # name <address>
    date: str  # when it was written, ISO 8601
    subject: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """Options asked for, and who asks: ``origin`` is shown when one of them is dropped."""

    origin: str
    options: Mapping[str, str]  # CONFIG_FOO -> y, m, n, 4 or "text"
    # A wish, as in the kernel's own selftests: whoever else asks overrides it, and what Kconfig
    # drops of it is said but is no error.
    soft: bool = False


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """A complete .config, checked against the fragments it was made from."""

    text: str
    key: str


@dataclass(frozen=True, slots=True)
class KernelBuild:
    """What one build left behind, in a folder that never changes again."""

    path: Path
    key: str
    release: str  # what uname -r will say
    image: Path  # the bootable kernel
    image_digest: str  # of its content: other builds may give the same
    modules: Path | None  # a tar archive of lib/modules/RELEASE, or None without modules
    headers: Path  # usr/include of make headers_install
    config: Path
    # Modules that a machine needs before anything else, by their places below lib/modules/RELEASE.
    early: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the kernel was built here, and not taken from a package with some modules."""
        return (self.path / SYSTEM_MAP).is_file()

    @property
    def symbols(self) -> Path:
        """The file with its symbols and lines: the image, or what that was packed from."""
        linked = self.path / LINKED
        return linked if linked.is_file() else self.image
