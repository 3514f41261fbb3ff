"""Files that are whole or absent, whatever stops the writer."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path


def replace(path: Path, parts: Iterable[bytes]) -> None:
    """Write ``parts``, one behind the other, in the place of whatever the file held.

    Who reads it meanwhile sees the old content or the new. Raises :class:`OSError` where the disk
    does not take it; the old content stays then, as with whatever ``parts`` raises.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with temporary.open("wb") as file:
            file.writelines(parts)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
