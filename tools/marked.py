"""Find all processes that came of one call of the toolkit, however far down.

A call is started with the environment variable :data:`MARK`, which its children inherit. What a
sandbox starts with another environment is found all the same: the sandbox itself has the mark, and
ends with all in it.
"""

from __future__ import annotations

from pathlib import Path

MARK = "TOOLKIT_CALL_MARK"


def processes(mark: str, *names: str) -> list[int]:
    """Return the processes with this mark that still run; ``names``: only those called so.

    A name is a part of what the kernel calls the process, in 15 characters.
    """
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "comm").read_text().strip()
        except OSError:
            continue
        wanted = not names or any(name in command for name in names)
        if f"{MARK}={mark}".encode() in environment and wanted:
            found.append(int(entry.name))
    return found
