"""KUnit tests as a suite: one program for each module that holds some.

A program is a script that loads its module in the guest and prints what KUnit wrote into debugfs;
of tests that are built in, which ran when the kernel booted, it prints that alone. What the
configuration does not have is a skipped program that says what it needs.
"""

from __future__ import annotations

import functools
import glob as globs
import json
import re
import shlex
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import Fragment, KernelBuild
from toolkit.core.model.series import KnownFailure, PatchedTree
from toolkit.core.model.testing import BuiltSuite, TestProgram
from toolkit.host.cache import digest
from toolkit.kernel import kconfig_explain, kunit_tests, tree_text
from toolkit.kernel.kbuild import Builder, part_of
from toolkit.kernel.kconfig import parse_config
from toolkit.kernel.kunit_tests import Selection, TestModule
from toolkit.testing import kunit_glob, suite_manifest
from toolkit.testing.suite_names import KUNIT
from toolkit.testing.suites import Suite

SECONDS = 300.0  # of a program; what tools/testing/kunit/kunit.py gives all tests together
_SCRIPT = Path(__file__).with_suffix(".sh")
_INSTALLED_SCRIPT = ".kunit"
_FACTS = "suite.json"
_KCONFIG = re.compile(r"(^|/)Kconfig[^/]*$")
_FRAMEWORK = {"CONFIG_KUNIT": "y", "CONFIG_DEBUG_FS": "y", "CONFIG_KUNIT_DEBUGFS": "y"}
# Tests are asked for one by one. Those of KUNIT_FAULT_TEST make the kernel print an oops, which is
# their success and anybody else's splat (lib/kunit/Kconfig).
_WITHOUT = {"CONFIG_KUNIT_ALL_TESTS": "n", "CONFIG_KUNIT_FAULT_TEST": "n"}


def find(suites: Path, name: str, tree: PatchedTree, builder: Builder, deadline: Deadline) -> Suite:
    """Return the suite of the KUnit tests that ``kunit[:GLOB]`` stands for.

    What the kernel is known to say of some stands in ``kunit/allow.yaml`` below ``suites``.
    Raises :class:`UserError` where the patched tree has no such test.
    """
    glob = kunit_glob.glob_of(name)
    found = kunit_tests.find(tree, builder.arch.srcarch, builder.cache, deadline)
    modules = kunit_glob.choose(found, glob)
    wishes: dict[str, str] = {}
    for option, value in (item for module in modules for item in _wishes(module, glob)):
        if wishes.get(option) != "y":
            wishes[option] = value
    asked = {option: value for option, value in wishes.items() if option not in _FRAMEWORK}
    return Suite(
        name=KUNIT,
        path=None,
        timeout=SECONDS,
        fragments=(
            Fragment("KUnit", _FRAMEWORK),
            Fragment(f"{KUNIT}:{glob}", {**asked, **_WITHOUT}, soft=True),
        ),
        limit_of_tree=True,
        allowed=suite_manifest.allowed_of(
            suites / KUNIT, builder.arch, [module.name for module in modules]
        ),
        kunit=Selection(glob, modules),
    )


def _wishes(module: TestModule, glob: str) -> Iterable[tuple[str, str]]:
    """Return what a module's tests ask for.

    Tests that can be built in alone take what they test into the kernel, too, which changes all
    others: so that is asked for where somebody names them, and not with all tests of a tree.
    """
    return (module.wishes if glob == kunit_glob.ALL else module.wishes_built_in).items()


def build(
    builder: Builder,
    suite: Suite,
    selection: Selection,
    *,
    tree: PatchedTree,
    kernel: KernelBuild,
    deadline: Deadline,
) -> tuple[BuiltSuite, bool]:
    """Return the programs of a suite from :func:`find`, and whether the cache had them.

    ``selection`` is the suite's; the tests themselves are in ``kernel``.
    """
    config, built = kernel.config.read_text(), _built_modules(kernel.modules)
    script = digest(_SCRIPT.read_bytes())
    kconfig = [tree.base.key, part_of(tree, _KCONFIG)]  # what tells why one is not there
    key = digest(suite.name, asdict(selection), config, sorted(built), script, *kconfig)

    def fill(folder: Path) -> None:
        options = parse_config(config)
        lacking = _lacking(selection.modules, options, built, tree, builder.arch.srcarch)
        installed = folder / "installed"
        installed.mkdir()
        files = {_INSTALLED_SCRIPT: _SCRIPT.read_text()}
        for module in selection.modules:
            how = "load" if _normal(module.name) in built else "boot"
            words = [how, module.name, selection.glob, *module.suites]
            if module.name in lacking:
                words = ["skip", lacking[module.name]]
            files[module.name] = (
                f"#!/bin/sh\nexec {shlex.join([f'./{_INSTALLED_SCRIPT}', *words])}\n"
            )
        for name, text in files.items():
            (installed / name).write_text(text)
            (installed / name).chmod(0o755)
        (folder / _FACTS).write_text(json.dumps(lacking))

    path, cached = builder.cache.make("suite", key, fill, deadline=deadline, label=suite.name)
    lacking = json.loads((path / _FACTS).read_text())
    return _suite(suite, selection, path / "installed", lacking, tree), cached


def _suite(
    suite: Suite, selection: Selection, path: Path, lacking: Mapping[str, str], tree: PatchedTree
) -> BuiltSuite:
    programs = tuple(
        TestProgram(
            suite.name,
            module.name,
            suite.timeout,
            touched=not tree.files.keys().isdisjoint(module.files),
            limit_of_tree=suite.limit_of_tree,
            alone=True,
        )
        for module in selection.modules
    )
    skipped = tuple(
        KnownFailure(f"{suite.name}/{globs.escape(name)}", why, certain=False, start=False)
        for name, why in lacking.items()
    )
    return BuiltSuite(suite.name, path, programs, (*skipped, *suite.allowed), kvm=suite.kvm)


def _lacking(
    modules: Sequence[TestModule],
    config: Mapping[str, str],
    built: frozenset[str],
    tree: PatchedTree,
    srcarch: str,
) -> dict[str, str]:
    """Return why tests are not in the kernel, by the name of their module."""
    unset = [m for m in modules if any(config.get(each, "n") == "n" for each in m.options)]
    lacking: dict[str, str] = {}
    if unset:
        symbols = kconfig_explain.symbols(functools.partial(tree_text.read, tree), srcarch)
        for module in unset:
            lacking[module.name] = kunit_tests.lacking(symbols, config, module.options)
    for module in modules:
        if module.name in lacking:
            continue
        loose = [option for option in module.built_in if config.get(option) == "m"]
        if not loose and _normal(module.name) not in built:
            # A module that is none, although its option is m.
            loose = [option for option in module.options if config[option] == "m"]
        if loose:
            lacking[module.name] = f"needs {', '.join(f'{option}=y' for option in loose)}"
    return lacking


def _built_modules(archive: Path | None) -> frozenset[str]:
    """Return the names of the modules in an archive of lib/modules."""
    if archive is None:
        return frozenset()
    with tarfile.open(archive) as tar:
        paths = [Path(name) for name in tar.getnames()]
    return frozenset(_normal(path.stem) for path in paths if path.suffix == ".ko")


def _normal(name: str) -> str:
    """Return a module's name as the kernel spells it."""
    return name.replace("-", "_")
