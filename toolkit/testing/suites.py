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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from toolkit.core import files
from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import Fragment, KernelBuild
from toolkit.core.model.series import KnownFailure, PatchedTree
from toolkit.core.model.testing import BuiltSuite, TestProgram
from toolkit.host.cache import digest
from toolkit.kernel import kunit_tests
from toolkit.kernel.kbuild import Builder, part_of
from toolkit.testing import (
    in_tree_layout,
    in_tree_suites,
    outside_suites,
    suite_build,
    suite_manifest,
)
from toolkit.testing.folder_content import digests

_FORMAT = 4  # of how a target of the kernel's is built
DEFAULT_TIMEOUT = 45.0  # seconds: what the kernel's selftests/kselftest/runner.sh gives a program
# A suite is built from these parts of the tree alone: an edit elsewhere leaves it as it is.
_USED_OF_TREE = re.compile(r"^(tools|scripts|usr)/|(^|/)include/uapi/|^include/linux/compiler")


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
    unittests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # kvm-unit-tests'
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
        if path.parent.name != suite_build.SHARED
    )
    if name in names:
        path = folder / name
        settings = _text(path / "settings")
        timeout = _timeout(settings, str(path / "settings"))
        return Suite(name, path, timeout, suite_manifest.fragments(path, arch))
    if name.startswith(in_tree_suites.SUITE_PREFIX):
        return _upstream(tree(), in_tree_suites.of_suite(tree(), name), arch)
    near = difflib.get_close_matches(name, names, n=1)
    raise UserError(
        f"there is no suite {name!r} in {folder}",
        hint=f"did you mean {near[0]}?"
        if near
        else f"there is: {', '.join(names) or 'none'}; upstream:TARGET is one of the kernel's own",
    )


def _outside(name: str, arch: Arch) -> Suite:
    path = outside_suites.checked(name, arch)
    settings = path / "settings"  # which a program has not, nor a config
    configs = [path / each for each in in_tree_suites.config_files(arch)]
    return Suite(
        name=outside_suites.name_of(name),
        path=path,
        timeout=_timeout(_text(settings), str(settings)),
        fragments=tuple(
            in_tree_suites.wishes(files.text(each), str(each)) for each in configs if each.exists()
        ),
        limit_of_tree=True,
        outside=True,
    )


def _upstream(tree: PatchedTree, target: str, arch: Arch) -> Suite:
    settings = in_tree_suites.settings(tree, target)
    return Suite(
        name=in_tree_suites.suite_name(target),
        path=None,
        timeout=_timeout(settings, f"{in_tree_suites.FOLDER}/{target}/settings"),
        fragments=in_tree_suites.fragments(tree, target, arch),
        target=target,
        limit_of_tree=True,
    )


def _carried(path: Path, tree: PatchedTree, arch: Arch) -> Suite:
    """Return one of the kernel's own with what the folder ``path`` says of it."""
    extra = suite_manifest.load(path)
    plain = _upstream(tree, in_tree_suites.resolve(tree, extra.upstream), arch)
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
        allowed=suite_manifest.allowed(path, arch),
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
    job = suite_build.Job(builder, tree, kernel, log, deadline)
    tools = builder.compiler(deadline), suite_build.recipe(builder.arch)
    if suite.path and suite.outside:
        if suite.path.is_file():
            fill = partial(suite_build.take_program, job, suite.path)
            key = digest(suite.path.name, digest(suite.path.read_bytes()), *tools)
        else:
            shared = suite_build.shared_beside(suite.path)
            hint = f"--suite {suite.path} names a folder with a suite's sources alone"
            contents = [digests(each, hint) for each in (suite.path, shared) if each]
            fill, read = _among_the_trees(job, suite.name, suite.name, outside=suite.path)
            key = digest(_FORMAT, suite.name, *contents, *read, *tools)
    elif suite.path and not suite.target:
        fill = partial(suite_build.carried, job, suite.name, suite.path)
        folders = (suite.path, suite.path.parent / suite_build.SHARED)
        contents = [digests(each) for each in folders if each.is_dir()]
        key = digest(*contents, tree.base.key, part_of(tree, _USED_OF_TREE), *tools)
    else:
        fill, read = _among_the_trees(job, suite.name, suite.target)
        key = digest(_FORMAT, suite.target, *read, *tools)

    def make() -> tuple[Path, bool]:
        return builder.cache.make("suite", key, fill, deadline=deadline, label=suite.name)

    path, cached = make()
    if cached and _lacks_something(path):
        builder.cache.discard("suite", key)  # which may be installed by now
        path, cached = make()
    facts = json.loads((path / suite_build.FACTS).read_text())
    built = _built(suite, path / "installed", facts, tree)
    if lacking := ", ".join(sorted(_lacking(facts))):
        builder.observer.notice(f"{suite.name}: does not build, but is no test: {lacking}")
    return built, cached


def _among_the_trees(
    job: suite_build.Job, name: str, target: str, outside: Path | None = None
) -> tuple[partial[None], list[Any]]:
    """Return what builds a target, and what that reads besides its own sources: a part of its key.

    ``outside`` is as for :func:`suite_build.upstream`.
    """
    tree = job.tree
    reads_kernel = in_tree_layout.reads_kernel_build(tree, target, outside)
    fill = partial(
        suite_build.upstream, job, name, target, outside=outside, reads_kernel=reads_kernel
    )
    read: list[Any] = [tree.base.key, part_of(tree, in_tree_suites.READS)]
    return fill, [*read, job.kernel.key] if reads_kernel else read


def _lacks_something(path: Path) -> bool:
    """Return whether an entry has programs that this host could not build."""
    return in_tree_suites.any_lacking(
        json.loads((path / suite_build.FACTS).read_text())["faults"].values()
    )


def _lacking(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return why nothing can be tested that needs what could not be made, by that one's name."""
    return {
        name: in_tree_suites.untestable_without(name, why)
        for name, why in facts["faults"].items()
        if name not in facts["programs"]
    }


def _built(suite: Suite, path: Path, facts: Mapping[str, Any], tree: PatchedTree) -> BuiltSuite:
    changed = in_tree_suites.changed(tree, suite.target) if suite.target else set[str]()
    lacking = _lacking(facts)
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
            lacking=lacking,
            folder=facts["folder"],
            launcher=suite_build.LAUNCHER,
            touched=Path(name).stem in changed,
            limit_of_tree=suite.limit_of_tree and not timeout,
            environment=facts.get("environment", {}),
        )
        for name, timeout in own.items()
    )
    touched = bool(part_of(tree, in_tree_suites.READS))
    return BuiltSuite(suite.name, path, programs, suite.allowed, touched, suite.kvm)
