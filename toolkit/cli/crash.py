"""What nobody expected: an error of the toolkit itself, with its traceback in a file.

Python would print the traceback and exit with 1, which says that the kernel is at fault.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import click

from toolkit.core.errors import InfrastructureError, InternalError, ToolkitError

_NO_THREAD = "can't start new thread"  # what Python says when a thread's stack cannot be mapped
FILE = "traceback.txt"  # in a run folder
# These have words and an exit code of their own.
_EXPECTED = (ToolkitError, OSError, click.ClickException, click.exceptions.Exit, click.Abort)


@contextlib.contextmanager
def described(folder: Path | None = None) -> Iterator[None]:
    """Turn whatever else is raised inside into an :class:`InternalError`.

    The traceback goes into the run folder ``folder``, or else into a new file below the state
    folder; where that cannot be written, into one below the temporary folder.
    """
    try:
        yield
    except _EXPECTED:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or str(error) == _NO_THREAD:
            raise InfrastructureError(
                "the host gives the toolkit no more memory",
                hint="free some memory, or raise the limits (ulimit -v, ulimit -u), and run again",
            ) from error
        kind = type(error).__name__
        text = "".join(traceback.format_exception(error))
        raise InternalError(
            f"an error of the toolkit itself, not of the kernel: {kind}: {error}"[:500],
            hint=_kept(text, folder),
        ) from error


def _kept(text: str, folder: Path | None) -> str:
    """Write a traceback down, and return in words where it is."""
    import tempfile

    from toolkit.core import paths

    name = time.strftime(f"toolkit-%Y%m%dT%H%M%SZ-{os.getpid()}.txt", time.gmtime())
    files = [folder / FILE] if folder else []
    with contextlib.suppress(ToolkitError):
        files.append(paths.resolve().errors / name)
    for file in (*files, Path(tempfile.gettempdir()) / name):
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            return f"its traceback is in {file}"
    return "its traceback cannot be written anywhere"
