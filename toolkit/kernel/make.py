"""Runs make on a kernel tree, tells how far it is, and says why it failed."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError, InfrastructureError, ToolFailedError
from toolkit.core.observer import Observer
from toolkit.host import process

# The same input gives the same kernel, whoever builds it and when.
REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "toolkit",
    "KBUILD_BUILD_HOST": "toolkit",
    "KBUILD_BUILD_VERSION": "1",  # not a count of links: the same objects give the same kernel
}
_STEP = re.compile(r"  ([A-Z][A-Z0-9_+ -]*?) (?:\[M\])? +(\S+)$")
_DIAGNOSTIC = re.compile(
    r"(:\d+(:\d+)?: (fatal )?error\b|\berror: |undefined reference|multiple definition"
    r"|^ERROR: modpost|^ld: |No rule to make target|: Error \d|\*\*\* )"
)
_CONTEXT = re.compile(r"^ +(\d+ )?\||^In file included from|: In function ")
_HOST_FAULTS = {
    "No space left on device": "free some disk space (toolkit cache prune) and run again",
    "Cannot allocate memory": "free some memory, or lower --jobs, and run again",
    "Killed signal terminated program": "the compiler was killed: free some memory or lower --jobs",
    "virtual memory exhausted": "free some memory, or lower --jobs, and run again",
}
_DETAIL_LINES = 30


@dataclass(frozen=True, slots=True)
class Make:
    """make in the folder ``source``, with ``output`` as its build folder.

    ``arch`` is what kbuild calls ARCH, ``log`` gets each command and all that make says, and
    ``env`` is added to its environment.
    """

    source: Path
    output: Path
    arch: str
    jobs: int
    deadline: Deadline
    log: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str, on_line: Callable[[str], None] | None = None) -> None:
        """Run make with targets and settings; ``on_line`` hears each line that it prints.

        Raises as :func:`explain_failure` says.
        """
        argv = ["make", f"-j{self.jobs}", "-C", str(self.source), f"O={self.output}"]
        argv += [f"ARCH={self.arch}", *words]
        if self.log:
            with self.log.open("a") as log:
                log.write(f"$ {shlex.join(argv)}\n")
        try:
            process.run(
                argv,
                deadline=self.deadline,
                env={**REPRODUCIBLE, **self.env},
                log=self.log,
                merge=True,
                on_line=on_line,
                # make passes TERM on to the compilers it runs; KILL would orphan them.
                death_signal="TERM",
            )
        except ToolFailedError as error:
            said = self.log.read_text(errors="replace") if self.log else None
            lines = list(error.detail) if said is None else said.splitlines()
            raise explain_failure(lines, self.log) from error


def explain_failure(
    lines: Sequence[str], log: Path | None, *, what: str = "the kernel does not build"
) -> BuildError | InfrastructureError:
    """Return the error for a failed make: the compiler's own lines, or the host's fault."""
    for line in lines[-200:]:
        for words, hint in _HOST_FAULTS.items():
            if words in line:
                return InfrastructureError(f"the build stopped: {words}", hint=hint, detail=[line])
        if match := re.search(
            r"(?:/bin/sh: \d+: |make.*: )([\w.-]+): (?:command )?not found", line
        ):
            return InfrastructureError(
                f"the build needs {match[1]}, which is not installed on this host",
                hint="install it, or run ./bootstrap",
                detail=[line],
            )
    named = [bool(_DIAGNOSTIC.search(line)) for line in lines]
    detail = [
        line
        for index, line in enumerate(lines)
        if named[index] or (_CONTEXT.search(line) and any(named[max(0, index - 3) : index + 4]))
    ]
    return BuildError(
        what,
        hint="mend the lines above; the whole output is in the build log",
        detail=detail[:_DETAIL_LINES] or list(lines[-_DETAIL_LINES:]),
        log=log,
    )


class Progress:
    """Counts make's steps. How many there are is known only from the last build in a folder."""

    def __init__(self, observer: Observer, memory: Path | None = None) -> None:
        """Tell ``observer``; the file ``memory`` holds how many steps there were."""
        self._observer = observer
        self._memory = memory
        self._done = 0
        self._total: int | None = None
        if memory:
            with contextlib.suppress(OSError, ValueError):
                self._total = int(memory.read_text())

    def __call__(self, line: str) -> None:
        """Hear a line of make's."""
        if match := _STEP.match(line):
            self._done += 1
            total = self._total if self._total and self._total >= self._done else None
            self._observer.stage_progress(
                "build", self._done, total, f"{match[1].strip()} {match[2]}"
            )

    def remember(self) -> None:
        """Keep the number of steps for the next build, if it was the largest so far."""
        if self._memory and (self._total is None or self._done > self._total):
            self._memory.write_text(str(self._done))
