"""A QEMU monitor, with deadlines. The protocol is qemu.qmp's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol

from toolkit.deadline import Deadline
from toolkit.errors import MachineLostError

_RETRY = 0.01  # seconds between attempts while QEMU sets its socket up
_ANSWER = 30.0  # seconds a command may take

logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class Monitor:
    """One connection to one QEMU."""

    def __init__(self, connection: QEMUMonitorProtocol) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, path: Path, alive: Callable[[], bool], deadline: Deadline) -> Monitor:
        """Connect to the socket at ``path`` as soon as it answers.

        Raises :class:`MachineLostError` when ``alive`` says that QEMU is gone, and
        :class:`DeadlineError` when the time runs out.
        """
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
                return cls(connection)

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

    def close(self) -> None:
        """Close the connection; QEMU goes on."""
        try:
            self._connection.close()
        except (OSError, QMPError, EOFError):
            return  # it was gone already
