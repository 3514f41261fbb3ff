"""Small JSON files that are whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from toolkit.core import files


def read(file: Path) -> dict[str, Any] | None:
    """Return the object in a file; None where there is no such file, or none that can be read."""
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def write(file: Path, data: object) -> None:
    """Write a file, and its folder; raises :class:`OSError` where the disk does not take it."""
    write_bytes(file, json.dumps(data, indent=1).encode() + b"\n")


def write_bytes(file: Path, data: bytes) -> None:
    """Do the same with JSON that is ready."""
    file.parent.mkdir(parents=True, exist_ok=True)
    files.replace(file, [data])
