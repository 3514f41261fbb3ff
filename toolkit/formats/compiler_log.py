"""What a compiler or sparse complained of, read from the output of make: pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

_DIAGNOSTIC = re.compile(r"^(\S+?\.[chS]):\d+:(?:\d+:)? (?:fatal )?(?:error|warning): ?(.*)")


def diagnostics(lines: Iterable[str]) -> Iterator[str]:
    """Yield each complaint as "FILE: what it says", without a line number, which edits move.

    A path that goes up again, as arch/x86/kvm/../../../virt/kvm does, is given the short way.
    """
    for line in lines:
        if match := _DIAGNOSTIC.match(line):
            path = posixpath.normpath(match[1]) if "/../" in match[1] else match[1]
            yield f"{path}: {match[2]}"
