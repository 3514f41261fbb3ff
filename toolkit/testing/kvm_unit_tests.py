"""kvm-unit-tests as a suite: a checkout is built, and each of its tests runs in the machine's KVM.

Its own ``make standalone`` gives a script for each test of ``x86/unittests.cfg``, which holds the
test's kernel and starts QEMU with what the file asks for. So a machine needs an image with bash and
QEMU, and a CPU with virtualization. A test is one leaf, judged by its exit status.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from toolkit.core import paths
from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolFailedError, UserError
from toolkit.core.model.kernel import Fragment
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import BuiltSuite, TestProgram
from toolkit.host import process, sandbox
from toolkit.host.cache import Cache, digest
from toolkit.kernel.kbuild import Builder
from toolkit.testing import suite_manifest
from toolkit.testing.folder_content import digests
from toolkit.testing.suite_names import KVM_UNIT_TESTS
from toolkit.testing.suites import Suite

PREFIX = f"{KVM_UNIT_TESTS}:"
DEFAULT_SECONDS = 90.0  # what its scripts/runtime.bash gives a test
_CONFIG = "x86/unittests.cfg"
_NEEDED = ("configure", "scripts/mkstandalone.sh", _CONFIG)
_ARCH = "x86_64"
_HEAD = Path(__file__).with_suffix(".sh")
_FACTS = "suite.json"
_SECTION = re.compile(r"^\[([A-Za-z0-9_][\w.+-]{0,99})\][ \t]*$", re.M)
_KEY = re.compile(r"^(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.M)
_SECONDS = re.compile(r"([0-9]{1,6}(?:\.[0-9]+)?)(s|m|h)?")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
# Both vendors, and what QEMU asks of KVM; what else a test uses it looks for itself.
_OPTIONS = {
    "CONFIG_VIRTUALIZATION": "y",
    "CONFIG_KVM": "m",
    "CONFIG_KVM_INTEL": "m",
    "CONFIG_KVM_AMD": "m",
    "CONFIG_EVENTFD": "y",
}
_HINT = "name a checkout of kvm-unit-tests: --suite kvm-unit-tests:PATH"


def place(name: str) -> Path:
    """Return the folder that a suite's name stands for."""
    return paths.expand(name.removeprefix(PREFIX)).absolute()


def checked(name: str, arch: Arch) -> Path:
    """Return the checkout that a suite's name stands for.

    Raises :class:`UserError` where there is none, and for another architecture than x86_64.
    """
    if name == KVM_UNIT_TESTS:
        raise UserError(f"--suite {name}: which checkout?", hint=_HINT)
    folder = place(name)
    for needed in _NEEDED:
        if not (folder / needed).is_file():
            raise UserError(f"--suite {name}: there is no file {folder / needed}", hint=_HINT)
    if arch.name != _ARCH:
        raise UserError(f"--suite {name}: it is run on {_ARCH} alone, not on {arch.name}")
    return folder.resolve()


def find(suites: Path, name: str, arch: Arch) -> Suite:
    """Return the suite of a checkout; raise as :func:`checked`, and where it has no test.

    What cannot work of it stands in ``kvm-unit-tests/allow.yaml`` below the folder ``suites``.
    """
    folder = checked(name, arch)
    if not (tests := parse((folder / _CONFIG).read_text(errors="replace"))):
        raise UserError(f"--suite {name}: {folder / _CONFIG} has no test", hint=_HINT)
    return Suite(
        name=KVM_UNIT_TESTS,
        path=folder,
        timeout=DEFAULT_SECONDS,
        fragments=(Fragment(KVM_UNIT_TESTS, _OPTIONS),),
        limit_of_tree=True,
        unittests=tests,
        allowed=suite_manifest.allowed_of(suites / KVM_UNIT_TESTS, arch, tests),
    )


def parse(config: str) -> dict[str, dict[str, str]]:
    """Return the tests of a unittests.cfg by name, each with its keys."""
    sections = list(_SECTION.finditer(config))
    ends = [section.start() for section in sections[1:]] + [len(config)]
    return {
        section[1]: dict(_KEY.findall(config, section.end(), end))
        for section, end in zip(sections, ends, strict=False)
    }


def build(builder: Builder, suite: Suite, log: Path, deadline: Deadline) -> tuple[BuiltSuite, bool]:
    """Build a checkout; return its tests as programs, and whether the cache had them.

    ``log`` receives the output of its configure and make. Raises :class:`UserError` with the end of
    it where they fail.
    """
    assert suite.path
    head = _HEAD.read_text()
    key = digest(digests(suite.path, _HINT), head, builder.compiler(deadline))

    def fill(folder: Path) -> None:
        copy, installed = folder / "copy", folder / "installed"
        argv = [
            "rsync",
            "-a",
            "--exclude=.git",
            "--copy-unsafe-links",
            f"{suite.path}/",
            f"{copy}/",
        ]
        process.run(argv, deadline=deadline)
        _make(builder, copy, log, deadline)
        installed.mkdir()
        names = [name for name in suite.unittests if (copy / "tests" / name).is_file()]
        for name in names:
            text = (copy / "tests" / name).read_text()
            (installed / name).write_text(f"{head}{text}")
            (installed / name).chmod(0o755)
        (folder / _FACTS).write_text(json.dumps(names))
        Cache.remove_tree(copy)

    path, cached = builder.cache.make("suite", key, fill, deadline=deadline, label=suite.name)
    names = json.loads((path / _FACTS).read_text())
    return _built(suite, path / "installed", names), cached


def _make(builder: Builder, copy: Path, log: Path, deadline: Deadline) -> None:
    """Build the copy of a checkout, within a sandbox."""
    within = sandbox.confine(writable=[copy])
    make = ["make", f"-j{builder.jobs}"]
    # What a build of the checkout left there, perhaps by another compiler, was copied with it.
    shutil.rmtree(copy / "tests", ignore_errors=True)
    commands = (
        ["bash", "configure", f"--arch={_ARCH}", f"--cc={builder.toolchain.name}"],
        [*make, "clean"],
        [*make, "standalone"],
    )
    try:
        for argv in commands:
            process.run(
                argv,
                deadline=deadline,
                cwd=copy,
                inherit=process.CLEAN,
                log=log,
                merge=True,
                death_signal="TERM",
                within=within,
            )
    except ToolFailedError as error:
        raise UserError(
            f"the checkout of kvm-unit-tests does not build: {error.what}",
            hint=f"make it build by hand first; all of the output is in {log}",
            detail=error.detail,
        ) from error
    finally:
        sandbox.sweep(copy)


def _built(suite: Suite, path: Path, names: list[str]) -> BuiltSuite:
    programs = tuple(
        TestProgram(
            suite.name,
            name,
            _seconds(suite.unittests[name]),
            by_status=True,
            limit_of_tree=suite.limit_of_tree,
            alone=True,
        )
        for name in names
    )
    skipped = tuple(
        KnownFailure(f"{suite.name}/{name}", why, certain=False, start=False)
        for name in names
        if (why := _not_here(suite.unittests[name]))
    )
    return BuiltSuite(suite.name, path, programs, (*skipped, *suite.allowed), kvm=suite.kvm)


def _seconds(test: Mapping[str, str]) -> float:
    match = _SECONDS.fullmatch(test.get("timeout", ""))
    return float(match[1]) * _UNITS[match[2] or "s"] if match else DEFAULT_SECONDS


def _not_here(test: Mapping[str, str]) -> str:
    """Return why a test is not even started."""
    if test.get("arch", _ARCH) != _ARCH:
        return f"for {test['arch']} alone"
    if test.get("accel", "kvm") != "kvm":
        return f"for {test['accel']} alone"
    return "to be run by hand alone" if "nodefault" in test.get("groups", "").split() else ""
