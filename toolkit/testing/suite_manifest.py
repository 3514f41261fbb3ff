"""What a suite's folder says of it: its options, and of one of the kernel's own the manifests."""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from toolkit.core import files
from toolkit.core.arch import KNOWN, Arch
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import Fragment
from toolkit.core.model.machine import MAX_MEMORY_MIB
from toolkit.core.model.series import KnownFailure
from toolkit.formats import manifest
from toolkit.formats.manifest import Manifest
from toolkit.kernel.kconfig import parse_fragment

NAME = "suite.yaml"

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(gt=0, le=10_000_000, allow_inf_nan=False)]


def _target(text: str) -> str:
    parts = text.split("/")
    if not all(parts) or {".", ".."} & set(parts):
        raise ValueError(f"{text!r} is no path below tools/testing/selftests")
    return text


class SuiteManifest(Manifest):
    """A whole ``suite.yaml``: a suite whose sources are in the kernel tree."""

    upstream: Annotated[Text, AfterValidator(_target)]  # a folder below tools/testing/selftests
    timeouts: dict[Text, Seconds] = Field(default_factory=dict)  # by glob over program names
    # What a machine needs where its image gives less.
    memory_mib: int = Field(default=0, ge=0, le=MAX_MEMORY_MIB)


class Allowed(Manifest):
    """What cannot work. ``test`` is a glob over what follows the suite in a leaf's id."""

    test: Text
    reason: Text
    action: Literal["xfail", "skip"] = "xfail"  # skip: it is not even started
    accel: Literal["", "kvm", "tcg"] = ""  # the accelerator under which that is so; "": any


class AllowManifest(Manifest):
    """A whole ``allow.yaml``, or ``allow.ARCH.yaml``."""

    allow: tuple[Allowed, ...]


def load(folder: Path) -> SuiteManifest:
    """Return a suite's manifest; raise :class:`UserError` for what is wrong with it."""
    return manifest.load(folder / NAME, SuiteManifest)


def allowed(folder: Path, arch: Arch) -> tuple[KnownFailure, ...]:
    """Return what cannot work of a suite on any architecture, and what cannot on this one."""
    files = (folder / "allow.yaml", folder / f"allow.{arch.name}.yaml")
    return tuple(
        KnownFailure(
            test=f"{folder.name}/{entry.test}",
            reason=entry.reason,
            certain=False,
            start=entry.action != "skip",
            accel=entry.accel,
        )
        for file in files
        if file.exists()
        for entry in manifest.load(file, AllowManifest).allow
    )


def allowed_of(folder: Path, arch: Arch, programs: Collection[str]) -> tuple[KnownFailure, ...]:
    """Return of :func:`allowed` what is about one of these programs.

    For suites whose programs the caller chooses, or a tree: that one is not there tells nothing.
    """
    return tuple(
        entry
        for entry in allowed(folder, arch)
        if any(fnmatchcase(name, entry.test.split("/")[1]) for name in programs)
    )


def fragments(folder: Path, arch: Arch) -> tuple[Fragment, ...]:
    """Return the options that a suite of ours asks for on any architecture, and on this one.

    Raises :class:`UserError` for what is no option, and where others have such a file and this one
    has not: the suite cannot run there.
    """
    own = folder / f"config.{arch.name}"
    others = [name for name in KNOWN if (folder / f"config.{name}").exists()]
    if others and not own.exists():
        raise UserError(
            f"the suite {folder.name} is for {', '.join(others)}, not for {arch.name}",
            hint=f"{own} would say what it needs there",
        )
    return tuple(
        parse_fragment(files.text(file), f"kselftests/{folder.name}/{file.name}")
        for file in (folder / "config", own)
        if file.exists()
    )
