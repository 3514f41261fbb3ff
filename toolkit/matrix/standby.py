"""A command of the toolkit that is started before its words are known.

Starting one takes as long as a small job does, so a worker has the next one started meanwhile. It
reads its words from standard input and then is what ``toolkit WORDS`` would be; where that ends
without any, so does it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.host import process
from toolkit.host.process import Child

_COMMAND = "toolkit.cli.standby"


@dataclass(frozen=True, slots=True)
class Standby:
    """A command that waits for its words."""

    child: Child

    def become(self, words: Sequence[str], log: Path) -> Child | None:
        """Return the command with ``words``; None where it is gone, and another has to be started.

        It runs in the folder of ``log``, which receives its output.
        """
        order = json.dumps({"words": list(words), "log": str(log.absolute())})
        assert self.child.stdin
        try:
            with self.child.stdin as stream:
                stream.write(f"{order}\n".encode())
        except OSError:
            self.end()
            return None
        return self.child

    def end(self) -> None:
        """Stop it; it has done nothing."""
        process.stop(self.child)
        assert self.child.stdin
        self.child.stdin.close()


def start(within: Sequence[str], folder: Path, env: Mapping[str, str | None]) -> Standby:
    """Start a command behind the words ``within``; the rest is as in :func:`process.start`."""
    argv = [*within, sys.executable, "-m", _COMMAND]
    return Standby(process.start(argv, cwd=folder, env=env, stdin=process.PIPE))
