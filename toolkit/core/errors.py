"""Every error the toolkit raises on purpose.

::

    ToolkitError
     ├── UserError               the caller must change something        exit code 2
     │    └── RejectedError      a patch does not apply to this kernel
     ├── KernelError             the kernel under test is at fault       exit code 1
     │    ├── BuildError         the series does not compile
     │    └── BootError          the kernel panicked or hung before SSH
     └── InfrastructureError     the host or its tools are at fault      exit code 3
          ├── ToolMissingError   a host program is not installed
          ├── ToolFailedError    a host program ran and failed
          ├── DeadlineError      the time given ran out
          ├── MachineLostError   a machine went away and the kernel did not say why
          └── InternalError      the toolkit itself is at fault

A failing test is a value, never an exception. Only :mod:`toolkit.cli.main` turns errors
into exit codes.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

EXIT_OK = 0
EXIT_KERNEL = 1
EXIT_USER = 2
EXIT_INFRASTRUCTURE = 3
EXIT_INTERRUPTED = 130


class ToolkitError(Exception):
    """Root of the tree: ``what`` failed and where, and ``hint``, what to do about it."""

    exit_code = EXIT_INFRASTRUCTURE

    def __init__(self, what: str, *, hint: str = "", detail: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.detail = tuple(detail)


class UserError(ToolkitError):
    """The caller named something that does not exist, or wrote a bad manifest, patch or option."""

    exit_code = EXIT_USER


class RejectedError(UserError):
    """A patch does not apply; ``detail`` has the hunk, and what the file has in its place."""


class KernelError(ToolkitError):
    """The kernel under test is at fault; ``log`` holds the evidence."""

    exit_code = EXIT_KERNEL

    def __init__(
        self, what: str, *, hint: str = "", detail: Sequence[str] = (), log: Path | None = None
    ) -> None:
        super().__init__(what, hint=hint, detail=detail)
        self.log = log


class BuildError(KernelError):
    """The kernel, its modules or a selftest did not compile; ``detail``: the compiler's lines."""


class BootError(KernelError):
    """The kernel was started but never came up; ``detail`` has the end of its console."""


class InfrastructureError(ToolkitError):
    """The host, its disk or a tool on it is at fault."""


class ToolMissingError(InfrastructureError):
    """A host program is not installed; ``package`` is Debian's name for what has it."""

    def __init__(self, program: str, package: str = "") -> None:
        package = package or program
        super().__init__(
            f"{program} is not installed on this host",
            hint=f"install it (Debian and Ubuntu: apt-get install {package}) or run ./bootstrap",
        )
        self.program = program
        self.package = package


class ToolFailedError(InfrastructureError):
    """A host program exited with an error: its argv, exit status (negative: the signal) and log."""

    def __init__(
        self,
        argv: Sequence[str],
        status: int,
        *,
        output: Sequence[str] = (),
        log: Path | None = None,
        hint: str = "",
    ) -> None:
        ended = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
        where = f" (log: {log})" if log else ""
        super().__init__(f"{argv[0]} {ended}{where}", hint=hint, detail=output)
        self.argv = tuple(argv)
        self.status = status
        self.log = log


class DeadlineError(InfrastructureError):
    """The time given for something ran out."""

    def __init__(self, what: str, seconds: float, *, hint: str = "") -> None:
        super().__init__(f"{what} did not end within {seconds:.0f} s", hint=hint)
        self.seconds = seconds


class MachineLostError(InfrastructureError):
    """QEMU or the connection to the guest went away without a word from the kernel."""


class InternalError(InfrastructureError):
    """Something that nobody expected: a fault of the toolkit, which says nothing of the kernel."""


_OS_HINTS = {
    errno.ENOSPC: "free some disk space (toolkit cache prune) and run again",
    errno.EDQUOT: "free some of your disk quota (toolkit cache prune) and run again",
    errno.EACCES: "check who owns it, or set XDG_CACHE_HOME and XDG_STATE_HOME to folders that you "
    "may write",
    errno.EROFS: "set XDG_CACHE_HOME and XDG_STATE_HOME to folders that you may write",
    errno.EFBIG: "raise the limit of a file's size (ulimit -f) and run again",
}


def of_os_error(error: OSError) -> UserError | InfrastructureError:
    """Return the toolkit's error for one of the operating system's, with what to do about it.

    A name that is too long can only be the caller's, and everything else is the host's.
    """
    where = f": {error.filename}" if error.filename else ""
    if error.errno == errno.ENAMETOOLONG:
        return UserError(f"{error.strerror}{where}", hint="give a shorter name, or a shorter path")
    hint = _OS_HINTS.get(error.errno or 0, "")
    return InfrastructureError(f"{error.strerror or error}{where}", hint=hint)
