"""Which modules a machine's hardware asks for: modules.alias against the devices' modaliases.

The guest cannot do this itself: busybox cuts a name at 256 characters, and an x86 CPU's
modalias is longer.
"""

from __future__ import annotations

import fnmatch
import tarfile
from collections.abc import Iterable
from pathlib import Path


def read_aliases(archive: Path) -> str:
    """Return the text of modules.alias out of a tar archive of lib/modules, or ""."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name.endswith("/modules.alias") and (file := tar.extractfile(member)):
                return file.read().decode(errors="replace")
    return ""


def wanted(aliases: str, devices: Iterable[str]) -> list[str]:
    """Return the modules whose patterns match one of the ``devices``' modaliases, sorted."""
    present = {device.strip() for device in devices if device.strip()}
    modules = set()
    for line in aliases.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "alias":
            pattern, module = words[1:]
            if any(fnmatch.fnmatchcase(device, pattern) for device in present):
                modules.add(module)
    return sorted(modules)
