"""Runs the Makefiles of a selftest suite, in a sandbox, and installs what they make.

What a suite of the kernel's own cannot link statically is linked with shared libraries, which come
along (:mod:`toolkit.testing.shared_libraries`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError, InfrastructureError, ToolFailedError
from toolkit.core.model.kernel import KernelBuild
from toolkit.core.model.series import PatchedTree
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache, digest
from toolkit.kernel.build_failure import explain_failure, refuse_strange
from toolkit.kernel.kbuild import Builder, part_of
from toolkit.testing import in_tree_suites, shared_libraries, verdicts

SHARED = "lib"  # C helpers of every suite; no suite itself
FACTS = "suite.json"  # in a suite's entry, beside what is installed
LAUNCHER = ".line_buffered"  # starts each program
_LAUNCHER_SOURCE = Path(__file__).with_name("line_buffered.c")
_STATIC = "-static"  # the guest may have no libc


def recipe(arch: Arch) -> str:
    """Return a digest of what the toolkit adds to each suite: a part of the key of its entry."""
    return digest(digest(_LAUNCHER_SOURCE.read_bytes()), shared_libraries.flags("", arch))


class Places(NamedTuple):
    """What the Makefiles of a suite may write to, and what else they may see."""

    results: tuple[Path, ...]  # where the toolkit goes on from
    readonly: tuple[Path, ...]
    beside: tuple[Path, ...] = ()  # sources that some Makefiles write beside


@dataclass(frozen=True, slots=True)
class Job:
    """What the build of any suite needs."""

    builder: Builder
    tree: PatchedTree
    kernel: KernelBuild
    log: Path
    deadline: Deadline

    def argv(self, objects: Path) -> list[str]:
        """Return how make is called for any suite, with ``objects`` as its output folder."""
        return [
            *("make", f"-j{self.builder.jobs}", f"ARCH={self.builder.arch.srcarch}"),
            *(f"KHDR_INCLUDES=-isystem {self.kernel.headers}/include", f"OUTPUT={objects}"),
            *self.builder.toolchain.words,
        ]

    def make(self, argv: Sequence[str], places: Places) -> None:
        """Run make; raises as :func:`~toolkit.kernel.build_failure.explain_failure` says."""
        before = self.printed()
        try:
            with sandbox.unfinished(places.results[0]):
                process.run(
                    argv,
                    deadline=self.deadline,
                    inherit=process.CLEAN,
                    log=self.log,
                    merge=True,
                    death_signal="TERM",
                    within=self.confined(places),
                )
        except ToolFailedError as error:
            lines, what = self.output(before), "the selftests do not build"
            raise explain_failure(lines, self.log, what=what) from error
        finally:
            strange = [line for folder in places.results for line in sandbox.sweep(folder)]
        refuse_strange(strange, self.log)

    def confined(self, places: Places) -> tuple[str, ...]:
        """Return the sandbox in which its Makefiles run."""
        writable, readonly = (*places.results, *places.beside), places.readonly
        return sandbox.confine(writable=writable, readonly=[*readonly, self.kernel.headers])

    def printed(self) -> int:
        """Return how many bytes make has printed so far."""
        return self.log.stat().st_size if self.log.exists() else 0

    def output(self, since: int) -> list[str]:
        """Return the lines that make has printed behind its first ``since`` bytes."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace").splitlines()

    def install_launcher(self, folder: Path) -> None:
        """Build what starts each program of a suite into the suite's folder."""
        argv = [*self.builder.toolchain.compiling, "-static", "-O2", str(_LAUNCHER_SOURCE)]
        argv += ["-o", str(folder / LAUNCHER)]
        process.run(argv, deadline=self.deadline, inherit=process.CLEAN)

    def programs(self, argv: Sequence[str], places: Places) -> list[str]:
        """Return the programs that the Makefile says are tests."""
        command, within = [*argv, "-s", "emit_tests"], self.confined(places)
        names = process.run(command, deadline=self.deadline, inherit=process.CLEAN, within=within)
        return in_tree_suites.emitted(names.text)


def carried(job: Job, name: str, path: Path, folder: Path) -> None:
    """Build a suite of our own: every program of it, or none."""
    path = path.resolve()  # relative links of the suite start there, in a sandbox as well
    installed, included = folder / "installed", folder / "included"
    with job.builder.work_tree(job.tree, job.deadline) as work:
        source = work.source()
        # Keep the objects of the last build: make redoes what an edit calls for.
        objects = work.suite_objects(f"{name}-{digest(str(path))[:8]}")
        for place in (installed, included):
            place.mkdir(exist_ok=True)
        sources = (source, path.parent, *sandbox.referents(path))
        places = Places((objects, installed, included), sources)
        argv = [
            *(*job.argv(objects), "-C", str(path)),
            *(f"top_srcdir={source}", f"KSFT={source / in_tree_suites.FOLDER}"),
            *in_tree_suites.include_paths(path.parent, included),
        ]
        job.make([*argv, "all"], places)
        job.make([*argv, "install", f"INSTALL_PATH={installed}"], places)
        names = job.programs(argv, places)  # while all the places are there to be bound
        where = in_tree_suites.join_included(installed, included, path.name)
        job.install_launcher(installed)
        facts = {"programs": names, "faults": {}, "folder": where}
        (folder / FACTS).write_text(json.dumps(facts))


def take_program(job: Job, file: Path, folder: Path) -> None:
    """Make a suite of one program, which is there already."""
    installed = folder / "installed"
    installed.mkdir()
    shutil.copyfile(file, installed / file.name)
    (installed / file.name).chmod(0o755)
    job.install_launcher(installed)
    (folder / FACTS).write_text(json.dumps({"programs": [file.name], "faults": {}, "folder": ""}))


def upstream(job: Job, name: str, target: str, folder: Path, outside: Path | None = None) -> None:
    """Build the kernel's own suite ``name``: whatever of ``target`` compiles here.

    ``outside`` is a folder that takes the place of the target in the tree. Raises
    :class:`BuildError` when nothing compiles of what a series may have broken.
    """
    installed, included = folder / "installed", folder / "included"
    with job.builder.work_tree(job.tree, job.deadline) as work:
        selftests = in_tree_suites.lay_out(work.source(), work.folder / "upstream", job.deadline)
        if outside:
            in_tree_suites.put(outside, selftests / target, job.deadline)
            if (outside.parent / SHARED / "suite.mk").is_file():
                in_tree_suites.put(outside.parent / SHARED, selftests / SHARED, job.deadline)
        # Built from nothing: most of these Makefiles do not know which headers they depend on.
        objects = work.folder / "upstream-objects"
        Cache.remove_tree(objects)
        for place in (objects, installed, included):
            place.mkdir()
        results, sources = (objects, installed, included), (work.source(), work.folder / "upstream")
        places = Places(results, sources, beside=(selftests,))
        argv = [
            *job.argv(objects),
            *in_tree_suites.arguments(selftests, target, included),
            *([f"KSFT={selftests}"] if outside else []),
        ]
        inside = (selftests / target, selftests, objects)
        linked = _link(job, argv, places, shared_libraries.flags(name, job.builder.arch), inside)
        # What is there is installed, and what is not is not tried again.
        partly = ["--ignore-errors", "--old-file=all"] if linked.failure else []
        job.make([*argv, linked.compiler, *partly, "install", f"INSTALL_PATH={installed}"], places)
        names = job.programs([*argv, linked.compiler], places)
    reasons = _reasons(job, names, installed, linked)
    for program in set(names) - reasons.keys():
        (installed / program).chmod(0o755)  # kselftest's runner runs scripts without it, too
    where = in_tree_suites.join_included(installed, included, target)
    shared_libraries.gather(installed, name, job.builder, job.deadline)
    job.install_launcher(installed)
    facts = {"programs": names, "faults": reasons, "folder": where}
    (folder / FACTS).write_text(json.dumps(facts))


class _Linked(NamedTuple):
    """How make came to its end: its last word for the compiler, and what failed then."""

    compiler: str  # CC=..., for further runs of make
    failure: BuildError | InfrastructureError | None
    faults: dict[str, str]  # the output about each file that could not be made, by its name


def _link(
    job: Job, argv: Sequence[str], places: Places, flags: str, inside: Sequence[Path]
) -> _Linked:
    """Make what can be linked statically, and of the rest what can be linked with ``flags``.

    They go in with the name of the compiler, which every Makefile uses, while LDFLAGS is
    overwritten by some. ``inside`` are folders whose names are left out of the faults.
    """
    for linking in (_STATIC, flags):
        compiler = f"CC={' '.join(job.builder.toolchain.compiling)} {linking}"
        before = job.printed()
        try:
            job.make([*argv, compiler, "--keep-going", "all"], places)
        except (BuildError, InfrastructureError) as error:
            failure = error
        else:
            return _Linked(compiler, None, {})
    return _Linked(compiler, failure, in_tree_suites.faults(job.output(before), inside))


def _reasons(job: Job, names: Sequence[str], installed: Path, linked: _Linked) -> dict[str, str]:
    """Return why each file that could not be made was not; raise what a series may have broken."""
    unbuilt = [name for name in names if not (installed / name).is_file()]
    failure = linked.failure
    if isinstance(failure, InfrastructureError):
        here = f"{verdicts.NOT_BUILT_HERE}{failure.what}"
    else:
        here = in_tree_suites.NO_PROGRAM
    reasons = {name: in_tree_suites.unbuilt_because(why) for name, why in linked.faults.items()}
    reasons = {**dict.fromkeys(unbuilt, here), **reasons}
    lacking = in_tree_suites.any_lacking(reasons.values())
    broken = failure and unbuilt == names and not lacking
    if failure and broken and part_of(job.tree, in_tree_suites.READS):
        raise failure
    return reasons
