"""Runs the Makefiles of a selftest suite, in a sandbox, and installs what they make.

How the programs of one of the kernel's own are linked: :mod:`toolkit.testing.shared_libraries`.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError, DeadlineError, InfrastructureError, ToolFailedError
from toolkit.core.model.kernel import KernelBuild, KernelConfig
from toolkit.core.model.series import PatchedTree
from toolkit.core.observer import WithinStage
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache, digest
from toolkit.kernel.build_failure import explain_failure, refuse_strange
from toolkit.kernel.build_folders import WorkTree
from toolkit.kernel.kbuild import Builder
from toolkit.testing import in_tree_layout, in_tree_suites, shared_libraries, verdicts

STAGE = "selftests"  # in which suites are built
SHARED = "lib"  # C helpers of every suite; no suite itself
FACTS = "suite.json"  # in a suite's entry, beside what is installed
LAUNCHER = ".line_buffered"  # starts each program
WHOLE = "make"  # stands for the programs of a target whose Makefile cannot even list them
# livepatch's scripts want this folder to be there, since run_tests would build their modules.
_MODULES_THERE = {"KDIR": "."}
_LAUNCHER_SOURCE = Path(__file__).with_name("line_buffered.c")


def recipe(arch: Arch) -> str:
    """Return a digest of what the toolkit adds to each suite: a part of the key of its entry."""
    return digest(digest(_LAUNCHER_SOURCE.read_bytes()), shared_libraries.recipe(arch))


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

    @contextlib.contextmanager
    def work_tree(self, suite: str, *, with_kernel: bool) -> Iterator[tuple[WorkTree, Path | None]]:
        """Lend the work folder of the tree's base, and ``with_kernel`` the kernel's build folder.

        It is for the suite of this name. The second is None where there is none: what a package
        has was not built here.
        """
        if not (with_kernel and self.kernel.whole):
            with self.builder.work_tree(self.tree, self.deadline) as work:
                yield work, None
            return
        text = self.kernel.config.read_text()
        config = KernelConfig(text, digest(text))
        observer = WithinStage(self.builder.observer, STAGE)
        builder = replace(self.builder, observer=observer)
        with builder.finished(self.tree, config, self.deadline, self.log) as (work, make):
            observer.stage_progress(suite, 0, None)
            yield work, make.output

    def programs(self, argv: Sequence[str], places: Places) -> list[str]:
        """Return the programs that the Makefile says are tests."""
        command, within = [*argv, "-s", "emit_tests"], self.confined(places)
        names = process.run(command, deadline=self.deadline, inherit=process.CLEAN, within=within)
        return in_tree_suites.emitted(names.text)


def _makefiles(path: Path) -> list[bytes]:
    """Return the rules of a suite of our own, and those that it shares with others."""
    shared = sorted((path.parent / "lib").glob("*.mk"))
    return [file.read_bytes() for file in (path / "Makefile", *shared) if file.is_file()]


def carried(job: Job, name: str, path: Path, folder: Path) -> None:
    """Build a suite of our own: every program of it, or none."""
    path = path.resolve()  # relative links of the suite start there, in a sandbox as well
    installed, included = folder / "installed", folder / "included"
    with job.builder.work_tree(job.tree, job.deadline) as work:
        source = work.source()
        # Keep the objects of the last build: make redoes what an edit calls for, but does not
        # know of an edit of its own rules.
        objects = work.suite_objects(f"{name}-{digest(str(path), *_makefiles(path))[:8]}")
        for place in (installed, included):
            place.mkdir(exist_ok=True)
        sources = (source, path.parent, *sandbox.referents(path))
        places = Places((objects, installed, included), sources)
        argv = [
            *(*job.argv(objects), "-C", str(path)),
            *(f"top_srcdir={source}", f"KSFT={source / in_tree_suites.FOLDER}"),
            *in_tree_layout.include_paths(path.parent, included),
        ]
        job.make([*argv, "all"], places)
        job.make([*argv, "install", f"INSTALL_PATH={installed}"], places)
        names = job.programs(argv, places)  # while all the places are there to be bound
        where = in_tree_layout.join_included(installed, included, path.name)
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


def shared_beside(outside: Path) -> Path | None:
    """Return the folder with what a suite from outside shares with those beside it, if any."""
    shared = outside.parent / SHARED
    return shared if (shared / "suite.mk").is_file() else None


def upstream(
    job: Job, name: str, target: str, folder: Path, *, outside: Path | None, reads_kernel: bool
) -> None:
    """Build the kernel's own suite ``name``: whatever of ``target`` compiles here.

    ``outside`` is a folder that takes the place of the target in the tree, and ``reads_kernel`` as
    :func:`in_tree_layout.reads_kernel_build` says. Raises :class:`BuildError` when nothing compiles
    of a target that the series changes.
    """
    installed, included = folder / "installed", folder / "included"
    with job.work_tree(name, with_kernel=reads_kernel) as (work, kernel):
        selftests = in_tree_layout.lay_out(work.source(), work.folder / "upstream", job.deadline)
        if outside:
            in_tree_layout.put(outside, selftests / target, job.deadline)
            if shared := shared_beside(outside):
                in_tree_layout.put(shared, selftests / SHARED, job.deadline)
        # Built from nothing: most of these Makefiles do not know which headers they depend on.
        objects = work.folder / "upstream-objects"
        Cache.remove_tree(objects)
        for place in (objects, installed, included, objects / in_tree_layout.GENERATED):
            place.mkdir()
        compilers = work.folder / "upstream-compilers"
        compiler = shared_libraries.wrap(job.builder.toolchain, name, job.builder.arch, compilers)
        results = (objects, installed, included)
        sources = (work.source(), work.folder / "upstream", compilers)
        places = Places(results, (*sources, *filter(None, [kernel])), beside=(selftests,))
        argv = [
            *job.argv(objects),
            *in_tree_layout.arguments(selftests, target, included, objects),
            *in_tree_layout.kernel_build(kernel, job.kernel.config),
            *([f"KSFT={selftests}"] if outside else []),
            f"CC={compiler}",
        ]
        inside = (selftests / target, selftests, objects, compilers)
        names, made = _make_all(job, argv, places, inside)
        in_tree_layout.include_runner(work.source(), installed, included)
    reasons = _reasons(names, installed, made)
    if reads_kernel and not kernel:
        reasons = dict.fromkeys(names, in_tree_suites.NO_KERNEL_BUILD)
    lacking = in_tree_suites.any_lacking(reasons.values())
    none_built = not any((installed / program).is_file() for program in names)
    if made.failure and none_built and not lacking and in_tree_suites.changed(job.tree, target):
        raise made.failure
    for program in set(names) - reasons.keys():
        (installed / program).chmod(0o755)  # kselftest's runner runs scripts without it, too
    where = in_tree_layout.join_included(installed, included, target)
    shared_libraries.gather(installed, name, job.builder, job.deadline)
    job.install_launcher(installed)
    environment = _MODULES_THERE if kernel else {}
    facts = {"programs": names, "faults": reasons, "folder": where, "environment": environment}
    (folder / FACTS).write_text(json.dumps(facts))


class _Made(NamedTuple):
    """How make came to its end."""

    failure: BuildError | InfrastructureError | None = None
    faults: Mapping[str, str] = {}  # the output about each file that could not be made, by name


def _make(job: Job, argv: Sequence[str], places: Places, inside: Sequence[Path]) -> _Made:
    before = job.printed()
    try:
        job.make(argv, places)
    except DeadlineError:
        raise
    except (BuildError, InfrastructureError) as error:
        return _Made(error, in_tree_suites.faults(job.output(before), inside))
    return _Made()


def _make_all(
    job: Job, argv: Sequence[str], places: Places, inside: Sequence[Path]
) -> tuple[list[str], _Made]:
    """Make and install what can be; return the programs that the Makefile calls tests.

    ``places`` begin with the folders of objects and of what is installed. ``inside`` are folders
    whose names are left out of the faults.
    """
    install = [*argv, "install", f"INSTALL_PATH={places.results[1]}"]
    made = _make(job, [*argv, "--keep-going", "all"], places, inside)
    if not made.failure:
        made = _make(job, install, places, inside)
    if made.failure:
        # What is there is installed, and what is not is not tried again.
        partly = [*install, "--ignore-errors", "--old-file=all"]
        if _make(job, partly, places, inside).failure:
            return [WHOLE], made
    try:
        return job.programs(argv, places), made
    except ToolFailedError:  # as on another architecture than the target's
        return [WHOLE] if made.failure else [], made


def _reasons(names: Sequence[str], installed: Path, made: _Made) -> dict[str, str]:
    """Return why each file that could not be made was not."""
    failure, whole = made.failure, list(names) == [WHOLE]
    if isinstance(failure, InfrastructureError):
        here = f"{verdicts.NOT_BUILT_HERE}{failure.what}"
    elif failure and whole:
        here = in_tree_suites.unbuilt_because("\n".join(failure.detail))
    else:
        here = in_tree_suites.NO_PROGRAM
    reasons = {name: here for name in names if not (installed / name).is_file()}
    # Where one leaf stands for the target, what make could not make on its way is part of that.
    faults = {} if whole else made.faults
    return reasons | {name: in_tree_suites.unbuilt_because(why) for name, why in faults.items()}
