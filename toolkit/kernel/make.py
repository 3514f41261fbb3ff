"""Run make on a kernel tree, and report how far it is."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolFailedError
from toolkit.core.model.series import PatchedTree
from toolkit.core.observer import Observer
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache
from toolkit.kernel.build_failure import Build, explain_failure, refuse_strange
from toolkit.kernel.toolchain import GCC, Toolchain

# The same input gives the same kernel, whoever builds it and when.
REPRODUCIBLE = {
    "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 1970",
    "KBUILD_BUILD_USER": "toolkit",
    "KBUILD_BUILD_HOST": "toolkit",
    "KBUILD_BUILD_VERSION": "1",  # not a count of links: the same objects give the same kernel
}
_STEP = re.compile(r"  ([A-Z][A-Z0-9_+ -]*?) (?:\[M\])? +(\S+)$")
_CCACHE_LIMIT = "3G"  # what ccache keeps; a kernel of the minimal image takes about 20 MiB
_OWN_STORE = "CCACHE_OF_SERIES"  # the sandbox lets names through that begin like that
_OWN_STORES = "apart"  # the folder of these stores
_STORES = 8  # that are kept of them
_OWN_LIMIT = "500M"  # of one
_OWN_SCRIPT = "ccache-of-series"
# ccache sets CCACHE_DISABLE for what it runs, in case that is ccache.
_NEXT_CCACHE = f"""#!/bin/sh
exec env -u CCACHE_DISABLE -u CCACHE_READONLY -u CCACHE_NOSTATS -u CCACHE_PREFIX \\
    CCACHE_DIR="${_OWN_STORE}" CCACHE_MAXSIZE={_OWN_LIMIT} ccache "$@"
"""


@dataclass(frozen=True, slots=True)
class Make:
    """make in the folder ``source``, with ``output`` as its build folder.

    ``arch`` is what kbuild calls ARCH, ``log`` gets each command and all that make says, and
    ``env`` is added to its environment, which has
    :data:`process.CLEAN` of the caller's alone.
    ``tree`` is what ``source`` holds, where that is known: it tells the series' faults from the
    host's. It may write to ``output`` and
    ``writable`` alone.
    """

    source: Path
    output: Path
    arch: str
    jobs: int
    deadline: Deadline
    log: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    tree: PatchedTree | None = None
    writable: tuple[Path, ...] = ()
    toolchain: Toolchain = GCC

    def confined(self) -> tuple[str, ...]:
        """Return the sandbox that keeps all that make runs to its build folder."""
        places, readable = [self.output, *self.writable], [self.source]
        own, shared = self.env.get(_OWN_STORE), self.env.get("CCACHE_DIR")
        for store, rights in ((own, places), (shared, readable if own else places)):
            if store:
                Path(store).mkdir(parents=True, exist_ok=True)
                rights.append(Path(store))
        return sandbox.confine(writable=places, readonly=readable, path=self.env.get("PATH"))

    def run(self, *words: str, on_line: Callable[[str], None] | None = None) -> None:
        """Run make with targets and settings; ``on_line`` gets each line that it prints.

        Raises what :func:`explain_failure` returns, and :class:`ToolFailedError` if make itself
        was killed.
        """
        argv = ["make", f"-j{self.jobs}", "-C", str(self.source), f"O={self.output}"]
        argv += [f"ARCH={self.arch}", *self.toolchain.words, *words]
        if self.log:
            with self.log.open("a") as log:
                log.write(f"$ {shlex.join(argv)}\n")
        try:
            with sandbox.unfinished(self.output):
                process.run(
                    argv,
                    deadline=self.deadline,
                    env={**REPRODUCIBLE, **self.env},
                    inherit=process.CLEAN,
                    log=self.log,
                    merge=True,
                    on_line=on_line,
                    # make passes TERM on to the compilers it runs; KILL would orphan them.
                    death_signal="TERM",
                    within=self.confined(),
                )
        except ToolFailedError as error:
            if error.status < 0:
                raise
            output = self.log.read_text(errors="replace") if self.log else None
            lines = list(error.detail) if output is None else output.splitlines()
            build = Build(self.tree, self.source) if self.tree else None
            raise explain_failure(lines, self.log, build=build) from error
        finally:
            strange = [
                line
                for folder in (self.output, *self.writable)
                for line in sandbox.sweep(folder, links_to=[self.source, self.output])
            ]
        refuse_strange(strange, self.log)


def ccache_environment(cache: Cache, toolchain: Toolchain = GCC, rules: str = "") -> dict[str, str]:
    """Return what to set for a build so that ccache keeps what was compiled; maybe nothing.

    kbuild keeps what is up to date, and no more: a series that is removed and applied again
    compiles the users of its headers twice, and so does a build folder that was pruned. ccache
    stands before the compiler under the compiler's own name, so that no command of the build
    changes and a build folder may be used with it and without.

    What a build can write to it can forge: an object in the store is anybody's who compiles the
    same. So a build whose series changes what is run on the host (``rules``, see
    :func:`toolkit.kernel.build_rules.rules`) gets the store to read, and behind it one of its own
    that only builds with the same rules use.

    Each compiler has a store of its own. It is a work folder of ``cache``, which `cache list`
    shows and `cache prune` frees; ccache is safe for any number of builds at once, and for a store
    that is removed meanwhile. Of the caller's environment CCACHE_DISABLE alone counts. Nothing is
    set there, nor where ccache is not installed or ``cache`` is cold.
    """
    program = shutil.which("ccache")
    if not program or cache.cold or "CCACHE_DISABLE" in os.environ:
        return {}
    store = cache.root / "work/ccache" / toolchain.compiler
    names = store / "bin"
    try:
        names.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (names / toolchain.compiler).symlink_to(program)
        os.utime(store)
        apart = _apart(store, rules) if rules else {}
    except OSError:
        return {}  # a store that cannot be written is no reason not to build
    path = f"{names}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        "PATH": path,
        "CCACHE_DIR": str(store / "store"),
        "CCACHE_MAXSIZE": _CCACHE_LIMIT,
        # The preprocessor's work is not done twice; kbuild asks the compiler for what it read.
        "CCACHE_DEPEND": "1",
        **apart,
    }


def _apart(store: Path, rules: str) -> dict[str, str]:
    """Return what to add for a build that may not write to the shared store.

    ccache passes what it does not find on to CCACHE_PREFIX, which is ccache again, with the build's
    own store.
    """
    own = store / _OWN_STORES / rules
    own.mkdir(parents=True, exist_ok=True)
    os.utime(own)
    with contextlib.suppress(FileNotFoundError):  # another run removes the same
        stores = sorted(own.parent.glob("[!.]*"), key=lambda path: path.stat().st_mtime)
        for unused in stores[:-_STORES]:
            Cache.remove_tree(unused)
    script = store / "bin" / _OWN_SCRIPT
    fresh = script.with_suffix(f".{os.getpid()}")
    fresh.write_text(_NEXT_CCACHE)
    fresh.chmod(0o755)
    fresh.rename(script)
    return {
        _OWN_STORE: str(own),
        "CCACHE_READONLY": "1",
        "CCACHE_NOSTATS": "1",  # they would be written to the shared store
        "CCACHE_TEMPDIR": str(own / "tmp"),
        "CCACHE_PREFIX": str(script),
    }


class Progress:
    """Counts make's steps; how many there are is known only from the last build in a folder."""

    def __init__(self, observer: Observer, memory: Path | None = None) -> None:
        """Report to ``observer``; the file ``memory`` holds how many steps there were."""
        self._observer = observer
        self._memory = memory
        self._done = 0
        self._total: int | None = None
        if memory:
            with contextlib.suppress(OSError, ValueError):
                self._total = int(memory.read_text())

    def __call__(self, line: str) -> None:
        """Count a line of make's output if it is a step."""
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
