"""Tells apart what one thread may hold: versions of a series, and its forms for stable kernels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.core.errors import UserError
from toolkit.formats.mailheaders import Kernel, Kernels
from toolkit.series.gitmail import Mail


@dataclass(frozen=True, order=True, slots=True)
class Version:
    """A version of a series; v7.1 is a correction to one patch of v7."""

    number: int
    minor: int = 0

    def __str__(self) -> str:
        """Return it as a subject has it."""
        return f"v{self.number}" + (f".{self.minor}" if self.minor else "")


def branches(posted: Sequence[Mail]) -> frozenset[int]:
    """Return the numbers that are no versions but belong to the names of stable kernels.

    v7.1 is a version where there is a v7, to which it is a correction, and else a kernel.
    """
    tags = [mail.headers.tags for mail in posted]
    whole = {each.version for each in tags if not each.minor}
    return frozenset(each.version for each in tags if each.minor and each.version not in whole)


def of(mail: Mail, stable: frozenset[int]) -> Version:
    """Return a mail's version; ``stable`` has what :func:`branches` returns."""
    tags = mail.headers.tags
    if tags.minor and tags.version in stable:
        return Version(1)
    return Version(tags.version, tags.minor)


def wanted(
    posted: Sequence[Mail], stable: frozenset[int], version: int | None, origin: str
) -> Version:
    """Return the version to take: the newest, or ``version``.

    Raises :class:`UserError` where that is not there.
    """
    there = sorted({of(mail, stable) for mail in posted})
    if version is None:
        return there[-1]
    fitting = [each for each in there if each.number == version]
    if not fitting:
        listed = ", ".join(map(str, there))
        raise UserError(f"{origin} holds no version {version}", hint=f"there is: {listed}")
    return fitting[-1]


# --- stable kernels -----------------------------------------------------------------------------


def kernels(mail: Mail, stable: frozenset[int]) -> Kernels:
    """Return the stable kernels that a mail's subject names; none for no kernel in particular."""
    tags = mail.headers.tags
    if tags.minor and tags.version in stable:
        kernel = tags.version, tags.minor
        return ((kernel, kernel),)
    return tags.kernels


def for_release(
    posted: Sequence[Mail], stable: frozenset[int], release: str | None, origin: str
) -> tuple[Kernels, list[Kernels]]:
    """Return the stable kernels whose form of the series is to be taken, and those of the others.

    That is the form for the kernel ``release`` (6.12.117), else the one that names no kernel. None:
    the one that names no kernel, else the newest. Raises :class:`UserError` where none is for
    ``release``.
    """
    forms = sorted({kernels(mail, stable) for mail in posted}, key=_newest)
    if len(forms) == 1:
        return forms[0], []
    fitting = [form for form in forms if release and _serves(form, release)]
    if fitting:
        form = min(fitting, key=lambda each: _width(each, release or ""))
    elif () in forms:
        form = ()
    elif release is None:
        form = forms[-1]
    else:
        there = ", ".join(map(shown, forms))
        raise UserError(
            f"{origin} holds patches for Linux {there}, and none for {release}",
            hint="give such a kernel with --kernel, or port the patches",
        )
    return form, [each for each in forms if each != form]


def shown(form: Kernels) -> str:
    """Return stable kernels in words: 6.1, 6.1/6.6, 6.17-5.10."""
    words = []
    for oldest, newest in form:
        ends = [".".join(map(str, end)) for end in (newest, oldest)]
        words.append(ends[0] if oldest == newest else "-".join(ends))
    return "/".join(words) or "(any)"


def _newest(form: Kernels) -> tuple[Kernel, Kernels]:
    return max((newest for _, newest in form), default=(0, 0)), form


def _serves(form: Kernels, release: str) -> bool:
    kernel = _kernel(release)
    return any(oldest <= kernel <= newest for oldest, newest in form)


def _width(form: Kernels, release: str) -> tuple[bool, int]:
    """Return how particular a form is: the one that names just this kernel comes first."""
    kernel = _kernel(release)
    return (kernel, kernel) not in form, len(form)


def _kernel(release: str) -> Kernel:
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)
