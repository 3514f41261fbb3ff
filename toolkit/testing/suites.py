"""Selftest suites: find them, build them against a patched tree, list their programs.

A suite is a folder in the form of the kernel's own ``tools/testing/selftests``: a Makefile that
includes the tree's lib.mk, ``config`` with the options it needs, ``settings`` with its timeout. Or
it is one of those in the kernel tree itself (:mod:`toolkit.testing.in_tree_suites`): a folder with
a ``suite.yaml`` may then carry further options and ``allow.yaml``, a list of what cannot work.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from toolkit.core import files
from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import BuildError, InfrastructureError, ToolFailedError, UserError
from toolkit.core.model.kernel import Fragment, KernelBuild
from toolkit.core.model.series import KnownFailure, PatchedTree
from toolkit.core.model.testing import BuiltSuite, TestProgram
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache, digest
from toolkit.kernel import kunit_tests
from toolkit.kernel.build_failure import explain_failure, refuse_strange
from toolkit.kernel.kbuild import Builder, part_of
from toolkit.testing import in_tree_suites, outside_suites, suite_manifest, verdicts

DEFAULT_TIMEOUT = 45.0  # seconds: what the kernel's selftests/kselftest/runner.sh gives a program
SHARED = "lib"  # C helpers of every suite; no suite itself
# A suite is built from these parts of the tree alone: an edit elsewhere leaves it as it is.
_USED_OF_TREE = re.compile(r"^(tools|scripts|usr)/|(^|/)include/uapi/|^include/linux/compiler")
_FACTS = "suite.json"  # in a suite's entry, beside what is installed
_LAUNCHER = ".line_buffered"  # starts each program
_LAUNCHER_SOURCE = Path(__file__).with_name("line_buffered.c")


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite: where its sources are, and what its manifests have."""

    name: str
    path: Path | None  # None: nothing is carried for it
    timeout: float
    fragments: tuple[Fragment, ...]
    target: str = ""  # its folder below tools/testing/selftests, if it is one of the kernel's own
    timeouts: Mapping[str, float] = field(default_factory=dict)  # by glob over program names
    allowed: tuple[KnownFailure, ...] = ()
    memory_mib: int = 0  # what a machine needs where its image gives less
    limit_of_tree: bool = False  # the timeout is the kernel tree's, which is for hardware
    outside: bool = False  # ``path`` is a folder or a program from outside this checkout
    kunit: kunit_tests.Selection | None = None  # the tests in the kernel that it stands for

    @property
    def kvm(self) -> bool:
        """Whether its programs use KVM in the guest."""
        return any(each.options.get("CONFIG_KVM") in ("y", "m") for each in self.fragments)


def find(folder: Path, name: str, tree: Callable[[], PatchedTree], arch: Arch) -> Suite:
    """Return the suite called ``name``, or ``upstream:TARGET`` for one of the kernel's own.

    It may be a path, too (:mod:`toolkit.testing.outside_suites`). ``tree`` is asked for only where
    one of the kernel's own has to be looked for. Raises :class:`UserError` listing what there is.
    """
    if outside_suites.is_path(name):
        return _outside(name, arch)
    if name.startswith(in_tree_suites.PREFIX):
        target = in_tree_suites.resolve(tree(), name.removeprefix(in_tree_suites.PREFIX))
        name = in_tree_suites.suite_name(target)
    if (folder / name / suite_manifest.NAME).is_file():
        return _carried(folder / name, tree(), arch)
    names = sorted(
        path.parent.name
        for path in (*folder.glob("*/Makefile"), *folder.glob(f"*/{suite_manifest.NAME}"))
        if path.parent.name != SHARED
    )
    if name in names:
        path = folder / name
        settings = _text(path / "settings")
        timeout = _timeout(settings, str(path / "settings"))
        return Suite(name, path, timeout, suite_manifest.fragments(path, arch))
    if name.startswith(in_tree_suites.SUITE_PREFIX):
        return _upstream(tree(), in_tree_suites.of_suite(tree(), name))
    near = difflib.get_close_matches(name, names, n=1)
    raise UserError(
        f"there is no suite {name!r} in {folder}",
        hint=f"did you mean {near[0]}?"
        if near
        else f"there is: {', '.join(names) or 'none'}; upstream:TARGET is one of the kernel's own",
    )


def _outside(name: str, arch: Arch) -> Suite:
    path = outside_suites.checked(name, arch)
    config, settings = path / "config", path / "settings"  # of which a program has neither
    return Suite(
        name=outside_suites.name_of(name),
        path=path,
        timeout=_timeout(_text(settings), str(settings)),
        fragments=(in_tree_suites.wishes(_text(config), str(config)),),
        limit_of_tree=True,
        outside=True,
    )


def _upstream(tree: PatchedTree, target: str) -> Suite:
    settings = in_tree_suites.settings(tree, target)
    return Suite(
        name=in_tree_suites.suite_name(target),
        path=None,
        timeout=_timeout(settings, f"{in_tree_suites.FOLDER}/{target}/settings"),
        fragments=(in_tree_suites.fragment(tree, target),),
        target=target,
        limit_of_tree=True,
    )


def _carried(path: Path, tree: PatchedTree, arch: Arch) -> Suite:
    """Return one of the kernel's own with what the folder ``path`` says of it."""
    extra = suite_manifest.load(path)
    plain = _upstream(tree, in_tree_suites.resolve(tree, extra.upstream))
    settings = path / "settings"
    # Softly, too: what the tests need differs from kernel to kernel, as they do.
    own = (replace(each, soft=True) for each in suite_manifest.fragments(path, arch))
    return Suite(
        name=path.name,
        path=path,
        timeout=_timeout(_text(settings), str(settings)) if settings.exists() else plain.timeout,
        limit_of_tree=not settings.exists(),
        fragments=(*plain.fragments, *own),
        target=plain.target,
        timeouts=extra.timeouts,
        allowed=suite_manifest.allowed(path),
        memory_mib=extra.memory_mib,
    )


def _text(file: Path) -> str:
    return files.text(file) if file.exists() else ""


def _timeout(settings: str, origin: str) -> float:
    """Read ``timeout=SECONDS`` as kselftest's runner does; 0: no limit, as timeout(1) has it."""
    for number, line in enumerate(settings.splitlines(), 1):
        key, _, value = line.partition("=")
        if key.strip() != "timeout":
            continue
        if not re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()):
            raise UserError(
                f"{origin}:{number}: timeout is {value.strip()!r}",
                hint="write a number of seconds",
            )
        return float(value)
    return DEFAULT_TIMEOUT


def build(
    builder: Builder,
    suite: Suite,
    tree: PatchedTree,
    kernel: KernelBuild,
    *,
    log: Path,
    deadline: Deadline,
) -> tuple[BuiltSuite, bool]:
    """Build a suite against the tree's headers; return it and whether the cache had it.

    ``log`` receives the output of make, if it runs. Raises :class:`BuildError` with the
    compiler's lines.
    """
    job = _Job(builder, tree, kernel, log, deadline)
    tools = builder.compiler(deadline), digest(_LAUNCHER_SOURCE.read_bytes())
    if suite.path and suite.outside:
        if suite.path.is_file():
            fill = partial(_take_program, job, suite.path)
            key = digest(suite.path.name, digest(suite.path.read_bytes()), *tools)
        else:
            fill = partial(_build_upstream, job, suite.name, outside=suite.path)
            contents = _content(suite.path), _content(suite.path.parent / SHARED)
            read = part_of(tree, in_tree_suites.READS)
            key = digest(suite.name, *contents, tree.base.key, read, *tools)
    elif suite.path and not suite.target:
        fill = partial(_build_carried, job, suite.name, suite.path)
        contents = _content(suite.path), _content(suite.path.parent / SHARED)
        key = digest(*contents, tree.base.key, part_of(tree, _USED_OF_TREE), *tools)
    else:
        fill = partial(_build_upstream, job, suite.target)
        key = digest(suite.target, tree.base.key, part_of(tree, in_tree_suites.READS), *tools)

    def make() -> tuple[Path, bool]:
        return builder.cache.make("suite", key, fill, deadline=deadline, label=suite.name)

    path, cached = make()
    if cached and _lacks_something(path):
        builder.cache.discard("suite", key)  # which may be installed by now
        path, cached = make()
    facts = json.loads((path / _FACTS).read_text())
    built = _built(suite, path / "installed", facts, tree)
    if others := sorted(facts["faults"].keys() - {program.name for program in built.programs}):
        builder.observer.notice(
            f"{suite.name}: does not build, but is no test: {', '.join(others)}"
        )
    return built, cached


def _lacks_something(path: Path) -> bool:
    """Return whether an entry has programs that this host could not build."""
    return in_tree_suites.any_lacking(json.loads((path / _FACTS).read_text())["faults"].values())


def _built(suite: Suite, path: Path, facts: Mapping[str, Any], tree: PatchedTree) -> BuiltSuite:
    changed = in_tree_suites.changed(tree, suite.target) if suite.target else set[str]()
    own = {
        name: next((s for glob, s in suite.timeouts.items() if fnmatchcase(name, glob)), 0.0)
        for name in facts["programs"]
    }
    programs = tuple(
        TestProgram(
            suite.name,
            name,
            timeout or suite.timeout,
            by_status=bool(suite.target) or suite.outside,
            unbuilt=facts["faults"].get(name, ""),
            folder=facts["folder"],
            launcher=_LAUNCHER,
            touched=Path(name).stem in changed,
            limit_of_tree=suite.limit_of_tree and not timeout,
        )
        for name, timeout in own.items()
    )
    touched = bool(part_of(tree, in_tree_suites.READS))
    return BuiltSuite(suite.name, path, programs, suite.allowed, touched, suite.kvm)


class _Places(NamedTuple):
    """What the Makefiles of a suite may write to, and what else they may see."""

    results: tuple[Path, ...]  # where the toolkit goes on from
    readonly: tuple[Path, ...]
    beside: tuple[Path, ...] = ()  # sources that some Makefiles write beside


@dataclass(frozen=True, slots=True)
class _Job:
    """What the build of any suite needs."""

    builder: Builder
    tree: PatchedTree
    kernel: KernelBuild
    log: Path
    deadline: Deadline

    def argv(self, objects: Path) -> list[str]:
        return [
            *("make", f"-j{self.builder.jobs}", f"ARCH={self.builder.arch.srcarch}"),
            *(f"KHDR_INCLUDES=-isystem {self.kernel.headers}/include", f"OUTPUT={objects}"),
            *self.builder.toolchain.words,
        ]

    def make(self, argv: Sequence[str], places: _Places) -> None:
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
            lines, what = self.output(), "the selftests do not build"
            raise explain_failure(lines, self.log, what=what) from error
        finally:
            strange = [line for folder in places.results for line in sandbox.sweep(folder)]
        refuse_strange(strange, self.log)

    def confined(self, places: _Places) -> tuple[str, ...]:
        writable, readonly = (*places.results, *places.beside), places.readonly
        return sandbox.confine(writable=writable, readonly=[*readonly, self.kernel.headers])

    def output(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()

    def install_launcher(self, folder: Path) -> None:
        """Build what starts each program of a suite into the suite's folder."""
        argv = [*self.builder.toolchain.compiling, "-static", "-O2", str(_LAUNCHER_SOURCE)]
        argv += ["-o", str(folder / _LAUNCHER)]
        process.run(argv, deadline=self.deadline, inherit=process.CLEAN)

    def programs(self, argv: Sequence[str], places: _Places) -> list[str]:
        command, within = [*argv, "-s", "emit_tests"], self.confined(places)
        names = process.run(command, deadline=self.deadline, inherit=process.CLEAN, within=within)
        return in_tree_suites.emitted(names.text)


def _build_carried(job: _Job, name: str, path: Path, folder: Path) -> None:
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
        places = _Places((objects, installed, included), sources)
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
        (folder / _FACTS).write_text(json.dumps(facts))


def _take_program(job: _Job, file: Path, folder: Path) -> None:
    """Make a suite of one program, which is there already."""
    installed = folder / "installed"
    installed.mkdir()
    shutil.copyfile(file, installed / file.name)
    (installed / file.name).chmod(0o755)
    job.install_launcher(installed)
    (folder / _FACTS).write_text(json.dumps({"programs": [file.name], "faults": {}, "folder": ""}))


def _build_upstream(job: _Job, target: str, folder: Path, outside: Path | None = None) -> None:
    """Build one of the kernel's own suites: whatever of it compiles here.

    ``outside`` is a folder that takes the place of the target in the tree. Raises
    :class:`BuildError` when nothing compiles of what a series may have broken.
    """
    installed, included, failure = folder / "installed", folder / "included", None
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
        places = _Places(results, sources, beside=(selftests,))
        cc = " ".join(job.builder.toolchain.compiling)
        argv = [*job.argv(objects), *in_tree_suites.arguments(selftests, target, included, cc)]
        argv += [f"KSFT={selftests}"] if outside else []
        try:
            job.make([*argv, "--keep-going", "all"], places)
        except (BuildError, InfrastructureError) as error:
            failure = error
        faults = in_tree_suites.faults(job.output(), (selftests / target, selftests, objects))
        # What is there is installed, and what is not is not tried again.
        partly = ["--ignore-errors", "--old-file=all"] if failure else []
        job.make([*argv, *partly, "install", f"INSTALL_PATH={installed}"], places)
        names = job.programs(argv, places)
    unbuilt = [name for name in names if not (installed / name).is_file()]
    if isinstance(failure, InfrastructureError):
        here = f"{verdicts.NOT_BUILT_HERE}{failure.what}"
    else:
        here = in_tree_suites.NO_PROGRAM
    reasons = {name: in_tree_suites.unbuilt_because(why) for name, why in faults.items()}
    reasons = {**dict.fromkeys(unbuilt, here), **reasons}
    lacking = in_tree_suites.any_lacking(reasons.values())
    broken = failure and unbuilt == names and not lacking
    if failure and broken and part_of(job.tree, in_tree_suites.READS):
        raise failure
    for name in set(names) - set(unbuilt):
        (installed / name).chmod(0o755)  # kselftest's runner runs scripts without the right, too
    where = in_tree_suites.join_included(installed, included, target)
    job.install_launcher(installed)
    facts = {"programs": names, "faults": reasons, "folder": where}
    (folder / _FACTS).write_text(json.dumps(facts))


def _content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): digest(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
