"""Which toolkit this is: its version, and a digest of what it is made of.

Two checkouts may have one version and not the same code, and jobs are exchanged between them.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import toolkit

_PACKAGE = Path(toolkit.__file__).parent


@functools.cache
def this() -> str:
    """Return it in words: ``0.3 (5f2a1c9b)``."""
    return f"{toolkit.__version__} ({_digest(_PACKAGE)})"


def _digest(package: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            state.update(f"{path.relative_to(package)} {len(content)}\n".encode() + content)
    return state.hexdigest()[:8]
