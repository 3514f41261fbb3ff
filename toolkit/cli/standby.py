"""``python -m toolkit.cli.standby``: the command line, started before its words are known.

See :mod:`toolkit.matrix.standby`, whose side this is.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from toolkit.cli.main import main

# What a job imports when it comes to it.
_LATER = (
    "paramiko",
    "pydantic",
    "toolkit.cli.open_run",
    "toolkit.report.terminal_summary",
    "toolkit.vm.ssh",
    "toolkit.workflow.pipeline",
)


def wait() -> None:
    """Wait for the words of a command, and be that command."""
    for name in _LATER:
        importlib.import_module(name)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    order = json.loads(line)
    log = Path(order["log"])
    os.chdir(log.parent)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for number, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, number)
    sys.argv = ["toolkit", *order["words"]]
    main()


if __name__ == "__main__":
    wait()
