"""Run the toolkit many times with a random fault each: no wrong verdict, no orphan, no growth.

    python -m tools.soak --runs 200 --seed 1
    python -m tools.soak --runs 10 --seed 7 --home DIR     a chunk; DIR keeps cache and state

Each run tests two programs of the suite that tests the toolkit, on a kernel that was built before.
Its fault comes at a random moment. A run must end well, or with the exit code of the host's fault
or of the signal; never may the kernel be blamed, or a result be missing from a pass. Every few runs
one without a fault must pass. At the end ``cache prune`` must leave nothing but locks and the
history. Prints a line for each kind of fault; exit code 1 when anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.errors import EXIT_INFRASTRUCTURE, EXIT_INTERRUPTED, EXIT_OK
from toolkit.core.paths import APP
from toolkit.host import folders
from tools import marked

PROJECT = Path(__file__).parents[1]
DATA = PROJECT / "tests/data"
EXPECTED = {
    "selfcheck/pass_test.sh/first": "pass",
    "selfcheck/pass_test.sh/second": "skip",
    "selfcheck/wait_test.sh/waited": "pass",
}
WORDS = ("build-and-test", "--suite", "selfcheck", "--test", "pass_test.sh")
LONGEST = 10.0  # seconds: about what a run takes, and so when its fault comes
PATIENCE = 900.0  # seconds: a run may have to build a kernel again
EVERY = 10  # runs after which one without a fault follows
_KINDS_OF_ENTRIES = ("build", "config", "image", "snapshot", "suite", "devices", "boot")
Fault = Callable[["Soak", "Ongoing"], tuple[int, ...]]


@dataclass
class Ongoing:
    """A run: its process, and where its words and results go."""

    process: subprocess.Popen[bytes]
    folder: Path
    mark: str
    log: Path
    random: random.Random

    def processes(self, *names: str) -> list[int]:
        """Return its processes that still run; ``names``: only those called so."""
        return marked.processes(self.mark, *names)

    def alive(self) -> bool:
        return self.process.poll() is None

    def wait_until(self, moment: float) -> None:
        """Wait until so many seconds have passed, or the run has ended."""
        end = time.monotonic() + moment
        while self.alive() and time.monotonic() < end:
            time.sleep(0.01)

    def signal(self, number: int, *names: str, one: bool = False) -> list[int]:
        """Send its processes a signal, or to one of them; return which got it."""
        pids = self.processes(*names)
        if one and pids:
            pids = [self.random.choice(pids)]
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        return pids


# --- the faults: each returns the exit codes that the run may have ---------------------------


def toolkit_killed(soak: Soak, run: Ongoing) -> tuple[int, ...]:
    run.wait_until(soak.moment())
    run.process.kill()
    return (EXIT_OK, -signal.SIGKILL)


def toolkit_told_to_end(soak: Soak, run: Ongoing) -> tuple[int, ...]:
    run.wait_until(soak.moment())
    run.process.send_signal(soak.random.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))
    # Before its handlers are set, the toolkit dies of the signal.
    return (EXIT_OK, EXIT_INTERRUPTED, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)


def qemu_killed(soak: Soak, run: Ongoing) -> tuple[int, ...]:
    run.wait_until(soak.moment())
    run.signal(soak.random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]), "qemu-system")
    return (EXIT_OK, EXIT_INFRASTRUCTURE)


def any_killed(soak: Soak, run: Ongoing) -> tuple[int, ...]:
    run.wait_until(soak.moment())
    run.signal(signal.SIGKILL, one=True)
    return (EXIT_OK, EXIT_INFRASTRUCTURE, -signal.SIGKILL)


def any_stopped(soak: Soak, run: Ongoing) -> tuple[int, ...]:
    """Stop one process for some seconds: the toolkit, QEMU or a child."""
    run.wait_until(soak.moment())
    pids = run.signal(signal.SIGSTOP, one=True)
    time.sleep(soak.random.uniform(0.1, 12))
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            continue
    return (EXIT_OK, EXIT_INFRASTRUCTURE)


def memory_full(soak: Soak, run: Ongoing) -> tuple[int, ...]:
    """Let the toolkit have no more memory than it has now, or a little more."""
    run.wait_until(soak.moment())
    room = soak.random.randrange(32 << 20)
    try:
        pages = int(Path(f"/proc/{run.process.pid}/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGESIZE") + room
        resource.prlimit(run.process.pid, resource.RLIMIT_AS, (limit, limit))
    except (OSError, IndexError):  # it has ended
        pass
    return (EXIT_OK, EXIT_INFRASTRUCTURE)


def disk_full(soak: Soak, run: Ongoing) -> tuple[int, ...]:
    """Let no file that the toolkit writes grow beyond some size; QEMU and make have the same."""
    run.wait_until(soak.moment())
    limit = soak.random.choice([0, 1 << 10, 64 << 10, 1 << 20])
    for pid in run.processes():
        try:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, limit))
        except OSError:
            continue
    return (EXIT_OK, EXIT_INFRASTRUCTURE)


def entry_damaged(soak: Soak, run: Ongoing) -> tuple[int, ...]:
    """Change a byte of a file of the cache while the run uses it."""
    run.wait_until(soak.moment())
    soak.damage()
    return (EXIT_OK, EXIT_INFRASTRUCTURE)


def entry_was_damaged(_soak: Soak, _run: Ongoing) -> tuple[int, ...]:
    """Let the run come upon a file that was damaged before it began (see ``Soak.one``)."""
    return (EXIT_OK,)


def guest_clock_jumps(_soak: Soak, _run: Ongoing) -> tuple[int, ...]:
    """Let the suite set the guest's clock years ahead or back (see ``Soak.one``)."""
    return (EXIT_OK,)


FAULTS: dict[str, Fault] = {
    "the toolkit is killed (SIGKILL)": toolkit_killed,
    "the toolkit is told to end (TERM, INT, HUP)": toolkit_told_to_end,
    "QEMU is ended (KILL, TERM, SEGV)": qemu_killed,
    "any process is killed": any_killed,
    "any process is stopped, for up to 12 s": any_stopped,
    "the toolkit gets no more memory": memory_full,
    "files may not grow (RLIMIT_FSIZE)": disk_full,
    "a byte of the cache changes under a run": entry_damaged,
    "a byte of the cache has changed before": entry_was_damaged,
    "the guest's clock jumps": guest_clock_jumps,
}


@dataclass
class Soak:
    """The folders of all runs, and what came of them."""

    home: Path
    random: random.Random
    cache: Path
    wrong: list[str] = field(default_factory=list)
    codes: dict[str, Counter[int]] = field(default_factory=dict)
    number: int = 0

    def moment(self) -> float:
        return self.random.uniform(0, LONGEST)

    def start(self, *, clock: bool = False) -> Ongoing:
        """Start a run; ``clock``: its suite also moves the guest's clock."""
        self.number += 1
        mark = f"{os.getpid()}-{self.number}"
        folder = self.home / "runs" / mark
        log = self.home / "log"
        program = "clock_test.sh" if clock else "wait_test.sh"
        line = [sys.executable, "-m", "toolkit", "--root", str(self.root()), *WORDS]
        line += ["--test", program, "--run-dir", str(folder)]
        temporary = self.home / "tmp"
        temporary.mkdir(exist_ok=True)
        process = subprocess.Popen(
            ["env", "--default-signal=INT", *line],
            cwd=self.home,
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "XDG_CACHE_HOME": str(self.cache),
                "XDG_STATE_HOME": str(self.home / "state"),
                "TMPDIR": str(temporary),
                marked.MARK: mark,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log.open("wb"),
        )
        return Ongoing(process, folder, mark, log, self.random)

    def root(self) -> Path:
        """Return a checkout that has the suite, and one more program in it."""
        root = self.home / "root"
        if not root.exists():
            (root / "patches").mkdir(parents=True)
            (root / "vm-images").symlink_to(PROJECT / "vm-images")
            suite = root / "kselftests/selfcheck"
            shutil.copytree(DATA / "kselftests/selfcheck", suite)
            makefile = suite / "Makefile"
            makefile.write_text(
                makefile.read_text().replace("wait_test.sh", "wait_test.sh clock_test.sh")
            )
            (suite / "clock_test.sh").write_text(
                "#!/bin/sh\necho TAP version 13\necho 1..1\ndate -s 2038-01-19 >/dev/null\n"
                "sleep 1\ndate -s 1999-01-01 >/dev/null\nsleep 1\necho ok 1 waited\n"
            )
            (suite / "clock_test.sh").chmod(0o755)
        return root

    def one(self, name: str) -> None:
        """Do one run with the fault called ``name``, and see how it ended."""
        if FAULTS[name] is entry_was_damaged:
            self.damage()
        run = self.start(clock=FAULTS[name] is guest_clock_jumps)
        allowed = FAULTS[name](self, run)
        code = self.finish(run)
        self.codes.setdefault(name, Counter())[code] += 1
        self.judge(name, run, code, allowed)

    def finish(self, run: Ongoing) -> int:
        """Wait for the end of a run, and for that of all its processes."""
        try:
            code = run.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.report(run, "did not end")
            run.process.kill()
            code = run.process.wait()
        for _ in range(200):
            if not run.processes():
                return code
            time.sleep(0.05)
        self.report(run, f"left {len(run.processes())} processes")
        run.signal(signal.SIGKILL)
        return code

    def judge(self, name: str, run: Ongoing, code: int, allowed: tuple[int, ...]) -> None:
        if code not in allowed:
            self.report(run, f"{name}: exit code {code}")
        result = run.folder / "result.json"
        if not result.exists():
            if code == EXIT_OK:
                self.report(run, f"{name}: a pass without a result")
            return
        try:
            content = json.loads(result.read_text())
        except ValueError:
            if code == EXIT_OK:
                self.report(run, f"{name}: a pass whose result is cut off")
            return
        statuses = {
            leaf["id"].replace("clock_", "wait_"): leaf["status"] for leaf in content["leaves"]
        }
        if code == EXIT_OK and statuses != EXPECTED:
            self.report(run, f"{name}: a pass with the results {statuses}")
        if content["exit_code"] != code and code >= 0:
            self.report(run, f"{name}: exit code {code}, and {content['exit_code']} in the result")

    def plain(self) -> None:
        """Do a run without a fault, which must pass."""
        run = self.start()
        code = self.finish(run)
        self.judge("no fault", run, code, (EXIT_OK,))

    def report(self, run: Ongoing, words: str) -> None:
        self.wrong.append(words)
        print(f"WRONG: run {run.mark}: {words}", flush=True)
        for line in run.log.read_text(errors="replace").splitlines()[-8:]:
            print(f"    {line}", flush=True)

    def damage(self) -> None:
        """Change a byte of a random file of the cache that is no seal."""
        files = [
            path
            for kind in _KINDS_OF_ENTRIES
            for path in (self.cache / APP / kind).glob("*/**/*")
            if path.is_file() and not path.is_symlink() and path.stat().st_size
        ]
        if files:
            path = self.random.choice(sorted(files))
            with path.open("r+b") as file:
                file.seek(self.random.randrange(path.stat().st_size))
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 0x10]))

    # --- what is left ----------------------------------------------------------------------

    def sizes(self) -> dict[str, int]:
        """Return how many bytes lie in the cache, the state and the temporary folder."""
        return {
            "cache": folders.size(self.cache / APP),
            "state": folders.size(self.home / "state"),
            "run folders": folders.size(self.home / "runs"),
            "temporary files": folders.size(self.home / "tmp"),
        }

    def prune(self) -> None:
        subprocess.run(
            [sys.executable, "-m", "toolkit", "cache", "prune", "--keep-within", "0"],
            cwd=PROJECT,
            env={**os.environ, "XDG_CACHE_HOME": str(self.cache), "TMPDIR": str(self.home / "tmp")},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def left(self) -> Iterator[Path]:
        """Yield each file with content that the cache still has, but for what may stay."""
        for path in sorted((self.cache / APP).rglob("*")):
            if path.is_file() and path.stat().st_size and not path.name.startswith("latest-"):
                yield path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--home", type=Path, help="for cache, state and runs; default: temporary")
    parser.add_argument("--cache", type=Path, help="an XDG_CACHE_HOME that may be damaged")
    parser.add_argument("--prune", action="store_true", help="prune at the end, and see what stays")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        home = (given.home or Path(temporary)).absolute()
        home.mkdir(parents=True, exist_ok=True)
        return soak(given, Soak(home, random.Random(given.seed), given.cache or home / "cache"))


def soak(given: argparse.Namespace, soak: Soak) -> int:
    soak.plain()  # builds what is missing
    before = soak.sizes()
    for number in range(given.runs):
        soak.one(soak.random.choice(sorted(FAULTS)))
        if number % EVERY == EVERY - 1:
            soak.plain()
    for name, codes in sorted(soak.codes.items()):
        ends = ", ".join(f"{count} x {code}" for code, count in sorted(codes.items()))
        print(f"{name}: {codes.total()} runs; exit codes {ends}")
    for what, size in soak.sizes().items():
        print(f"{what}: {before[what] >> 10} KiB before, {size >> 10} KiB after")
    if given.prune or not given.home:
        soak.prune()
        left = list(soak.left())
        print(f"cache after `cache prune --keep-within 0`: {len(left)} files with content")
        soak.wrong += [f"prune left {path}" for path in left]
        for path in left[:10]:
            print(f"    {path}")
    print(f"{given.runs} runs, seed {given.seed}: {len(soak.wrong)} wrong")
    return int(bool(soak.wrong))


if __name__ == "__main__":
    sys.exit(main())
