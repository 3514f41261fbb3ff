"""What a socket's path may be; the rest of the module needs a QEMU."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.vm import qmp


def bind(folder: str) -> None:
    """Make a socket below ``folder`` as a machine does."""
    with (
        tempfile.TemporaryDirectory(prefix="toolkit-", dir=folder) as scratch,
        socket.socket(socket.AF_UNIX) as monitor,
    ):
        monitor.bind(f"{scratch}/{qmp.SOCKET}")


def test_what_is_let_through_is_what_the_kernel_takes() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        most = 107 - len(f"/toolkit-12345678/{qmp.SOCKET}")
        folder = f"{top}/{'x' * (most - len(top) - 1)}"
        Path(folder).mkdir()
        qmp.check_folder(folder)
        bind(folder)
        # Bytes count, not characters.
        for longer in (folder + "x", folder[:-1] + "ä"):
            Path(longer).mkdir()
            with pytest.raises(OSError, match="too long"):
                bind(longer)
            with pytest.raises(UserError, match="is 1 bytes too long") as caught:
                qmp.check_folder(longer)
            assert "TMPDIR" in caught.value.hint
