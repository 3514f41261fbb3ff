"""Measure the loop from an edited patch to a verdict, beside virtme-ng, make and bare QEMU.

    tox -e bench                                    everything: about half an hour on two cores
    tox -e bench -- --only warm edit --rounds 5     some of it
    python -m benchmarks.speed --against CHECKOUT --only help,list,warm,edit,memory --rounds 5
                                                    beside another checkout of the toolkit

What is compared runs in turns, round by round, so a host that becomes slow is slow for all of it;
each ratio is taken within its round. Prints a table of medians, and writes it with a picture and
every sample into ``benchmarks/``. The kernels come from the caller's cache and from the folder
``--work``, where the peers build theirs; a first run builds them. virtme-ng takes from the host
virtiofsd (in Debian 12 a part of qemu-system-common) and udev.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import against
from benchmarks.runs import (
    EDITED,
    PATIENCE,
    PROJECT,
    SERIES,
    Watched,
    edited_root,
    seconds_of,
    watch,
)
from benchmarks.speed_bars import Samples, picture, table
from toolkit.core import paths
from toolkit.core.observer import Silent
from toolkit.core.stages import StageLog
from toolkit.kernel import profile
from toolkit.vm.pool import MachinePool
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

PEER_OPTIONS = PROJECT / "tests/data/bench/peer.config"  # what vng needs, and KVM built in
EDITED_FILE = "virt/kvm/iosignalfd.c"

# Runs the toolkit, and prints a line of its own when the first test program prints one.
FIRST_TEST = "benchmark: the first test program prints"
_CHILD = f"""
import contextlib, sys
from toolkit.cli import main
from toolkit.report import terminal

class FirstTest:
    def __init__(self, observer):
        self.observer, self.seen = observer, False
    def __getattr__(self, name):
        return getattr(self.observer, name)
    def stage_progress(self, name, *rest):
        if name == "test" and not self.seen:
            self.seen = True
            self.observer.notice({FIRST_TEST!r})
        self.observer.stage_progress(name, *rest)

original = terminal.open_display

@contextlib.contextmanager
def open_display(stream):
    with original(stream) as observer:
        yield FirstTest(observer)

terminal.open_display = open_display
sys.argv[0] = "toolkit"
main.main()
"""


def toolkit(*words: str | Path, until_first: bool = False) -> Watched:
    """Run the toolkit and watch it; with ``until_first`` it is interrupted once a test runs."""
    command = [sys.executable, "-c", _CHILD, *words]
    return watch(command, re.compile(re.escape(FIRST_TEST.encode())), stop=until_first)


# --- what is measured ----------------------------------------------------------------------


class Laboratory:
    """What the probes need, each made when the first of them asks for it."""

    def __init__(self, work: Path, vng: str) -> None:
        self.work = work
        self.vng = vng
        self.samples: Samples = {}
        self._edits = int(time.time())
        self._run: Run | None = None
        work.mkdir(parents=True, exist_ok=True)

    def keep(self, **values: float) -> None:
        for name, value in values.items():
            self.samples.setdefault(name.replace("_", "-"), []).append(value)

    # The toolkit's own machines, without modules on either side.

    @property
    def run(self) -> Run:
        if self._run is None:
            folder = Path(tempfile.mkdtemp(prefix="run-", dir=self.work))
            self._run = Run(Request(patch=SERIES), paths.resolve(PROJECT), folder, Silent())
            _ = self._run.image, self._run.accelerator
        return self._run

    def pool(self, *, snapshots: bool) -> MachinePool:
        folder = Path(tempfile.mkdtemp(prefix="machines-", dir=self.work))
        pool = MachinePool(
            factory=replace(self.run.factory, kernel=replace(self.run.kernel, modules=None)),
            cache=self.run.cache,
            folder=folder,
            observer=self.run.observer,
            deadline=self.run.deadline,
            stages=StageLog(self.run.observer),
            snapshots=snapshots,
        )
        pool.prepare()
        return pool

    def first_command(self, name: str, pool: MachinePool) -> None:
        began = time.monotonic()
        with pool.boot() as guest:
            guest.session.check("true", deadline=self.run.deadline)
            self.keep(**{name: time.monotonic() - began})

    # What the peers work on: the same patched tree, and a folder of their own.

    def tree(self) -> Path:
        """Return the patched source, written once."""
        place = self.work / "tree"
        stamp = self.work / "tree.key"
        if not stamp.is_file() or stamp.read_text() != self.run.tree.key:
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(self.run.base.path, place, symlinks=True)
            for name, file in self.run.tree.files.items():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                if file.content is not None:
                    (place / name).write_bytes(file.content)
            stamp.write_text(self.run.tree.key)
        return place

    def peer_run(self, *, cold: bool) -> Run:
        options = profile.load(str(PEER_OPTIONS))
        folder = Path(tempfile.mkdtemp(prefix="peer-", dir=self.work))
        request = Request(patch=SERIES, options=(options,), cold=cold)
        return Run(request, paths.resolve(PROJECT), folder, Silent())

    @functools.cached_property
    def peer_config(self) -> str:
        return self.peer_run(cold=False).config.text

    @functools.cached_property
    def peer_kernel(self) -> Path:
        """The peer's kernel, brought up to date when it is first asked for."""
        self.make("bzImage")
        return self.work / "peer/arch/x86/boot/bzImage"

    def make(self, *targets: str, fresh: bool = False) -> float:
        """Run make as anybody would, in the peer's own build folder; return the seconds."""
        place, config = self.work / "peer", self.peer_config
        if fresh:
            shutil.rmtree(place, ignore_errors=True)
        place.mkdir(exist_ok=True)
        if not (place / ".config").is_file() or (place / ".config").read_text() != config:
            (place / ".config").write_text(config)
        jobs = f"-j{self.run.request.jobs}"
        return seconds_of(["make", "-C", self.tree(), f"O={place}", jobs, *targets])

    def edit(self) -> int:
        """Return another number for the edited line."""
        self._edits += 1
        return self._edits % 997 + 1


def warm(lab: Laboratory) -> None:
    """A run in which nothing has changed, and all of its tests."""
    folder = Path(tempfile.mkdtemp(prefix="warm-", dir=lab.work))
    seen = toolkit("build-and-test", "--patch", SERIES, "--run-dir", folder)
    result = json.loads((folder / "result.json").read_text())
    tests = sum(leaf["seconds"] or 0 for leaf in result["leaves"])
    at_once = min(len(os.sched_getaffinity(0)), lab.run.pool.capacity())
    beyond = seen.total - tests / at_once
    lab.keep(warm=seen.first, verdict=seen.total, beyond=beyond, memory=seen.peak)


def vng(lab: Laboratory) -> None:
    """The peer: boot a kernel and run one command in it."""
    words = ("--disable-kvm", "-r", lab.peer_kernel, "--", "uname", "-r")
    command: list[str | Path] = [lab.vng, *words]
    # Without udev on the host it finds no port for the script, and what that says is lost.
    lab.keep(vng=seconds_of(command, lab.work, prints=lab.run.kernel.release))


def edit(lab: Laboratory) -> None:
    """One line of the series changes, and a test runs."""
    root = edited_root(lab.work / "root", PROJECT, lab.edit())
    folder = Path(tempfile.mkdtemp(prefix="edit-", dir=lab.work))
    words = ("--root", root, "build-and-test", "--patch", SERIES, "--run-dir", folder)
    lab.keep(edit=toolkit(*words, until_first=True).first)


def make(lab: Laboratory) -> None:
    """The same line changes in a tree, and make relinks a kernel with KVM built in."""
    path = lab.tree() / EDITED_FILE
    original = path.read_text()
    try:
        path.write_text(original.replace(f"{EDITED},", f"{EDITED} + {lab.edit()},"))
        lab.keep(make=lab.make("bzImage"))
    finally:
        path.write_text(original)


def restore(lab: Laboratory) -> None:
    """From a saved machine to its first command."""
    lab.first_command("restore", lab.pool(snapshots=True))


def boot(lab: Laboratory) -> None:
    """From power on to the first command."""
    lab.first_command("boot", lab.pool(snapshots=False))


def bare(lab: Laboratory) -> None:
    """The floor of that: QEMU alone, until SSH shows its banner."""
    pool = lab.pool(snapshots=False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    child = subprocess.Popen(
        [pool.folder / "qemu.sh"],
        env={**os.environ, "SSH_PORT": str(port)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        while not _banner(port):
            if child.poll() is not None or time.monotonic() - began > PATIENCE:
                sys.exit(f"{pool.folder}/qemu.sh shows no SSH banner")
            time.sleep(0.01)
        lab.keep(bare=time.monotonic() - began)
    finally:
        child.kill()
        child.wait()


def _banner(port: int) -> bool:
    try:
        # What comes before the guest has a network is lost, so no try may wait for long.
        with socket.create_connection(("127.0.0.1", port), timeout=0.25) as tried:
            return tried.recv(4) == b"SSH-"
    except OSError:
        return False


def cold(lab: Laboratory) -> None:
    """The kernel from nothing, by the toolkit and by make, with one configuration."""
    lab.keep(cold_make=lab.make(fresh=True))
    run = lab.peer_run(cold=True)
    _ = run.kernel
    lab.keep(cold=next(stage.seconds for stage in run.stages.records if stage.name == "build"))


def start_up(lab: Laboratory) -> None:
    """What a user waits for before anything happens."""
    program = [sys.executable, "-m", "toolkit"]
    installed = shutil.which("toolkit", path=str(Path(sys.executable).parent))
    command = [installed] if installed else program
    lab.keep(help=seconds_of([*command, "--help"]))
    lab.keep(list=seconds_of([*command, "series", "list"]))


def many(lab: Laboratory) -> None:
    """Suites of 20 and of 200 programs that do nothing, on the unpatched kernel."""
    root = lab.work / "many"
    for count in (20, 200):
        suite = root / f"kselftests/many-{count}"
        suite.mkdir(parents=True, exist_ok=True)
        names = [f"nothing_{number:03}.sh" for number in range(count)]
        for name in names:
            (suite / name).write_text("#!/bin/sh\necho TAP version 13; echo 1..1; echo ok 1 yes\n")
            (suite / name).chmod(0o755)
        (suite / "Makefile").write_text(
            f"TEST_PROGS := {' '.join(names)}\ninclude $(KSFT)/lib.mk\n"
        )
    for name in ("patches", "vm-images"):
        with contextlib.suppress(FileExistsError):
            (root / name).symlink_to(PROJECT / name)

    def run(count: int) -> Watched:
        folder = Path(tempfile.mkdtemp(prefix="many-", dir=lab.work))
        words = ("--root", root, "build-and-test", "--suite", f"many-{count}")
        return toolkit(*words, "--run-dir", folder)

    run(20)  # builds what the others find
    for count in (20, 200):
        seen = run(count)
        lab.keep(**{f"many_{count}": seen.total, f"memory_{count}": seen.peak})


Probe = Callable[[Laboratory], None]
# In turns within a round; what takes minutes is done once.
PROBES: Mapping[str, Probe] = {
    "start-up": start_up,
    "warm": warm,
    "vng": vng,
    "edit": edit,
    "make": make,
    "restore": restore,
    "boot": boot,
    "bare": bare,
}
ONCE: Mapping[str, Probe] = {"cold": cold, "many": many}


# --- the whole ----------------------------------------------------------------------------


def machine() -> str:
    """Return the machine in words: processor, cores, memory, system."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30
    return f"{os.cpu_count()} x {model}, {memory} GiB, Linux {platform.release()}"


def chosen(only: Sequence[str], probes: Mapping[str, Probe]) -> Iterator[tuple[str, Probe]]:
    for name, probe in probes.items():
        if not only or name in only:
            yield name, probe


def compare(other: Path, given: argparse.Namespace) -> None:
    """Print how the toolkit of this checkout compares with that of another one."""
    this, that = against.sides(other, given.work.resolve() / "against")
    against.measure((this, that), given.only, given.rounds)
    print("\n".join([machine(), "", *against.table(this.samples, that.samples)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[], help="names, also with commas between")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="one with a .venv")
    parser.add_argument("--work", type=Path, default=paths.resolve(PROJECT).cache / "speed")
    parser.add_argument("--vng", default="vng", help="virtme-ng's program")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks")
    given = parser.parse_args()
    given.only = [name for names in given.only for name in names.split(",") if name]
    names = {*PROBES, *ONCE, *(against.PROBES if given.against else ())}
    if unknown := sorted({*given.only} - names):
        parser.error(f"--only: no {', '.join(unknown)}; there is: {', '.join(sorted(names))}")
    if given.against:
        compare(given.against.resolve(), given)
        return
    lab = Laboratory(given.work.resolve(), shutil.which(given.vng) or given.vng)
    for name, probe in chosen(given.only, ONCE):
        print(f"{name} ...", file=sys.stderr, flush=True)
        probe(lab)
    once = {name: list(values) for name, values in lab.samples.items()}
    for number in range(given.rounds + 1):
        for name, probe in chosen(given.only, PROBES):
            print(f"round {number}: {name} ...", file=sys.stderr, flush=True)
            probe(lab)
        if number == 0:  # it warms up what the others find warm
            lab.samples = once
    lines = [machine(), "", *table(lab.samples)]
    print("\n".join(lines))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "speed.md").write_text("\n".join(lines) + "\n")
    (given.out / "speed.json").write_text(json.dumps(lab.samples, indent=1) + "\n")
    picture(lab.samples, given.out)


if __name__ == "__main__":
    main()
