"""The toolkit as a user runs it: a process of its own, its exit code, its words, its folder.

All runs of a session share one cache (the user's, or XDG_CACHE_HOME), so the first test pays for
the first build.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tools import marked

PROJECT = Path(__file__).parents[2]
DATA = PROJECT / "tests/data"
PATIENCE = 45 * 60  # seconds: a cold build on a slow host

SIGNS = shutil.which("openssl") and Path("/usr/include/openssl/evp.h").exists()
SIGNED = (
    *("CONFIG_MODULE_COMPRESS=y", "CONFIG_MODULE_COMPRESS_ZSTD=y", "CONFIG_MODULE_COMPRESS_ALL=y"),
    *("CONFIG_MODULE_SIG=y", "CONFIG_MODULE_SIG_FORCE=y"),
)
# One kernel for those who want signed modules and those who want the tree's own tests: it takes
# four minutes to build.
SHARED_KERNEL = (
    *("--patch", "v4", "--suite", "kvm", "--suite", "upstream:eventfd"),
    *(word for option in SIGNED if SIGNS for word in ("--kconfig", option)),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vm)


@dataclass
class Ended:
    """How one call of the toolkit ended."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "result.json").read_text()))

    def statuses(self) -> dict[str, str]:
        return {leaf["id"]: leaf["status"] for leaf in self.result["leaves"]}

    def __str__(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


@dataclass
class Started:
    """A call that still runs; its standard error grows in a file."""

    process: subprocess.Popen[str]
    err: Path
    folder: Path

    def wait_for(self, words: str, seconds: float = PATIENCE) -> None:
        end = time.monotonic() + seconds
        while words not in self.err.read_text():
            assert self.process.poll() is None, f"ended before {words!r}: {self.err.read_text()}"
            assert time.monotonic() < end, f"no {words!r} in: {self.err.read_text()}"
            time.sleep(0.05)

    def finish(self, seconds: float = PATIENCE) -> Ended:
        out, _ = self.process.communicate(timeout=seconds)
        return Ended(self.process.returncode, out, self.err.read_text(), self.folder)


@dataclass
class Toolkit:
    """Starts the toolkit, and knows every process that came of it."""

    tmp: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    calls: int = 0

    def start(
        self,
        *words: str,
        root: Path | None = None,
        wrapper: Sequence[str] = (),
        stdin: Path = Path(os.devnull),
        **env: str,
    ) -> Started:
        """Start ``toolkit WORDS`` under the command ``wrapper``, with ``env`` added.

        The first of the words is the command, both of its own words where it has two.
        """
        self.calls += 1
        folder, err = self.tmp / f"run{self.calls}", self.tmp / f"err{self.calls}"
        # Where the tests run in the background, a shell has SIGINT ignored for all below it.
        line = ["env", "--default-signal=INT", *wrapper, sys.executable, "-m", "toolkit"]
        line += ["--root", str(root)] if root else []
        line += [*words[0].split(), "--run-dir", str(folder), *words[1:]]
        process = subprocess.Popen(
            line,
            cwd=self.tmp,
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "XDG_STATE_HOME": str(self.tmp / "state"),  # the history is the user's
                marked.MARK: self.mark,
                **env,
            },
            stdin=stdin.open("rb"),
            stdout=subprocess.PIPE,
            stderr=err.open("w"),
            text=True,
        )
        return Started(process, err, folder)

    def run(
        self,
        *words: str,
        root: Path | None = None,
        wrapper: Sequence[str] = (),
        stdin: Path = Path(os.devnull),
        **env: str,
    ) -> Ended:
        """Do the same, and wait for its end."""
        return self.start(*words, root=root, wrapper=wrapper, stdin=stdin, **env).finish()

    def processes(self, name: str = "") -> list[int]:
        """Return the processes of this test that still run; ``name``: only those called so."""
        return marked.processes(self.mark, *filter(None, [name]))


@pytest.fixture
def toolkit(tmp_path: Path) -> Iterator[Toolkit]:
    """The toolkit; after the test not one process of it may be left."""
    made = Toolkit(tmp_path)
    yield made
    left = made.processes()
    for _ in range(50):
        if not left:
            break
        time.sleep(0.1)
        left = made.processes()
    names = [Path(f"/proc/{pid}/cmdline").read_bytes()[:80] for pid in left if _alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"left behind: {names}"


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists()


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the suite that tests the toolkit itself."""
    root = tmp_path_factory.mktemp("root")
    (root / "patches").mkdir()
    (root / "vm-images").symlink_to(PROJECT / "vm-images")
    (root / "kselftests").symlink_to(DATA / "kselftests")
    return root
