"""A QEMU monitor, with deadlines. The protocol is qemu.qmp's."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

from toolkit.core.deadline import Deadline
from toolkit.core.errors import MachineLostError, UserError

SOCKET = "qmp.sock"
_SOCKET_BYTES = 107  # a socket's path may have, the kernel's UNIX_PATH_MAX without its NUL
_RETRY = 0.01  # seconds between attempts while QEMU sets its socket up
_ANSWER = 30.0  # seconds a command may take

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


def check_folder(temporary: str) -> None:
    """Raise :class:`UserError` when a socket below the folder ``temporary`` has too long a path.

    QEMU would complain only when it starts, after the build; a run asks here first.
    """
    # As tempfile names the folder of a machine.
    path = os.path.join(temporary, "toolkit-12345678", SOCKET)  # noqa: PTH118 - bytes are counted
    length = len(os.fsencode(path))
    if length > _SOCKET_BYTES:
        raise UserError(
            f"the path of the temporary folder is {length - _SOCKET_BYTES} bytes too long for "
            f"QEMU's monitor, a socket below it: {temporary}",
            hint="set TMPDIR to a folder with a shorter path, such as /tmp",
        )


class Monitor:
    """One connection to one QEMU."""

    def __init__(self, connection: QEMUMonitorProtocol, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop

    @classmethod
    def connect(cls, path: Path, alive: Callable[[], bool], deadline: Deadline) -> Monitor:
        """Connect to the socket at ``path`` as soon as it answers.

        Raises :class:`MachineLostError` when ``alive`` says that QEMU is gone, and
        :class:`DeadlineError` when the time runs out.
        """
        # QEMUMonitorProtocol takes its thread's loop. One of its own lets a monitor be used by
        # another thread than the one that made it, beside other monitors.
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            while True:
                connection = QEMUMonitorProtocol(str(path))
                try:
                    connection.connect()
                except (OSError, QMPError) as error:
                    connection.close()
                    if not alive():
                        raise MachineLostError("QEMU ended before its monitor answered") from error
                    deadline.check("connecting to QEMU's monitor")
                    time.sleep(_RETRY)
                else:
                    connection.settimeout(_ANSWER)
                    return cls(connection, loop)
        except BaseException:
            loop.close()
            raise
        finally:
            asyncio.set_event_loop(None)

    def command(self, name: str, **arguments: object) -> Any:
        """Run one QMP command and return what it answers.

        Raises :class:`MachineLostError` when QEMU is gone or refuses the command.
        """
        try:
            return self._connection.cmd(name, **arguments)
        except (TimeoutError, OSError, QMPError) as error:
            raise MachineLostError(f"QEMU did not carry out {name}: {error}") from error

    def human(self, line: str) -> str:
        """Run one line of the human monitor and return what it prints."""
        return str(self.command("human-monitor-command", **{"command-line": line}))

    def send_file(self, name: str, file: IO[bytes]) -> None:
        """Hand an open file over to QEMU, which then knows it as ``fd:NAME``."""
        self._connection.send_fd_scm(file.fileno())
        self.command("getfd", fdname=name)

    def close(self) -> None:
        """Close the connection; QEMU goes on."""
        # QEMU may be gone already.
        with contextlib.suppress(OSError, QMPError, EOFError):
            self._connection.close()
        self._loop.close()
