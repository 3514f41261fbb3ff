"""kvm-unit-tests: a checkout is built, and its tests are programs that skip as selftests do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.fake_tree import soon
from toolkit.core.arch import ARM64, X86_64
from toolkit.core.errors import UserError
from toolkit.core.model.testing import BuiltSuite, Leaf, Status
from toolkit.core.observer import Silent
from toolkit.host.cache import Cache
from toolkit.kernel import worktree
from toolkit.kernel.kbuild import Builder
from toolkit.testing import guest_program, kvm_unit_tests, program_names, verdicts
from toolkit.testing.suites import Suite

CONFIG = """# a comment
[apic]
file = apic.flat
smp = 2
timeout = 30
groups = apic fast

[slow-one]
file = vmexit.flat
test_args = 'cpuid'
timeout = 2m
[i386-only]
file = x.flat
arch = i386
[emulated]
file = x.flat
accel = tcg
[by-hand]
file = x.flat
groups = vmx nodefault
[gone]
file = gone.flat
"""
MAKEFILE = """
clean:
\trm -f *.flat
standalone:
\tmkdir -p tests
\tfor test in apic slow-one i386-only emulated by-hand; do \\
\t\tprintf '#!/usr/bin/env bash\\n. ./config.mak\\necho "$$ACCEL $$TIMEOUT"\\n' > tests/$$test; done
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "kvm-unit-tests"
    for name, text in {
        "x86/unittests.cfg": CONFIG,
        "scripts/mkstandalone.sh": "",
        "configure": "#!/bin/sh\nmkdir -p x86 && echo CONFIGURED=$1 >config.mak\n",
        "Makefile": MAKEFILE,
        "tests/stale": "",
        ".git/config": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "configure").chmod(0o755)
    return folder


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(Cache(tmp_path / "cache"), X86_64, worktree.materialise, 2, Silent())


def find(checkout: Path) -> Suite:
    return kvm_unit_tests.find(checkout.parent / "suites", f"kvm-unit-tests:{checkout}", X86_64)


def build(builder: Builder, checkout: Path) -> tuple[BuiltSuite, bool]:
    suite = find(checkout)
    return kvm_unit_tests.build(builder, suite, checkout.parent / "log", soon())


def test_a_checkout_is_built_where_it_does_no_harm(builder: Builder, checkout: Path) -> None:
    before = sorted(checkout.rglob("*"))
    built, cached = build(builder, checkout)
    assert not cached
    assert sorted(checkout.rglob("*")) == before
    assert sorted(path.name for path in built.path.iterdir()) == sorted(
        program.name for program in built.programs
    )
    assert built.kvm
    assert build(builder, checkout)[1]
    (checkout / ".git/config").write_text("other")
    assert build(builder, checkout)[1]
    (checkout / "x86/new.c").touch()
    assert not build(builder, checkout)[1]


def test_each_test_has_its_own_limit_and_comes_alone(builder: Builder, checkout: Path) -> None:
    built, _ = build(builder, checkout)
    limits = {program.name: program.timeout for program in built.programs}
    assert limits == {
        "apic": 30,
        "slow-one": 120,
        "i386-only": 90,
        "emulated": 90,
        "by-hand": 90,
    }
    assert all(program.limit_of_tree for program in built.programs)
    files = guest_program.files(built, built.programs[0])
    assert [path.name for path in files] == ["apic"]


def test_what_is_not_for_this_machine_is_not_started(builder: Builder, checkout: Path) -> None:
    built, _ = build(builder, checkout)
    leaves = [verdicts.unstarted(program, built.allowed) for program in built.programs]
    skipped = {leaf.id: leaf.message for leaf in leaves if leaf and leaf.status is Status.SKIP}
    assert skipped == {
        "kvm-unit-tests/i386-only": "not run: for i386 alone",
        "kvm-unit-tests/emulated": "not run: for tcg alone",
        "kvm-unit-tests/by-hand": "not run: to be run by hand alone",
    }


def test_what_cannot_work_stands_in_a_list_as_for_other_suites(
    builder: Builder, checkout: Path
) -> None:
    allowed = checkout.parent / "suites/kvm-unit-tests/allow.yaml"
    allowed.parent.mkdir(parents=True)
    allowed.write_text(
        "allow:\n"
        "- {test: apic, accel: tcg, reason: no x2APIC}\n"
        "- {test: slow-one, accel: tcg, action: skip, reason: it takes an hour}\n"
    )
    built, _ = build(builder, checkout)
    programs = {program.name: program for program in built.programs}
    emulated = verdicts.known_here(None, [built], "tcg")
    assert verdicts.unstarted(programs["apic"], emulated) is None
    failed = Leaf("kvm-unit-tests/apic", Status.FAIL, "")
    assert verdicts.mark_known([failed], emulated)[0].status is Status.XFAIL
    skipped = verdicts.unstarted(programs["slow-one"], emulated)
    assert skipped
    assert skipped.message == "not run: it takes an hour"
    on_hardware = verdicts.known_here(None, [built], "kvm")
    assert verdicts.unstarted(programs["slow-one"], on_hardware) is None
    assert verdicts.mark_known([failed], on_hardware) == [failed]


def test_a_checkout_that_does_not_build_is_the_caller_s(builder: Builder, checkout: Path) -> None:
    (checkout / "Makefile").write_text("clean:\nstandalone:\n\techo it is broken; false\n")
    with pytest.raises(UserError, match="does not build") as caught:
        build(builder, checkout)
    assert any("it is broken" in line for line in caught.value.detail)
    assert str(checkout.parent / "log") in caught.value.hint


@pytest.mark.parametrize("missing", ["configure", "x86/unittests.cfg", "scripts/mkstandalone.sh"])
def test_what_is_no_checkout(builder: Builder, checkout: Path, missing: str) -> None:
    (checkout / missing).unlink()
    with pytest.raises(UserError, match=f"there is no file .*{missing}"):
        build(builder, checkout)


def test_names_that_lead_nowhere(builder: Builder, checkout: Path) -> None:
    with pytest.raises(UserError, match="which checkout"):
        kvm_unit_tests.checked("kvm-unit-tests", X86_64)
    with pytest.raises(UserError, match="there is no file"):
        kvm_unit_tests.checked("kvm-unit-tests:", X86_64)
    (checkout / "x86/unittests.cfg").write_text("# none\n")
    with pytest.raises(UserError, match="has no test"):
        build(builder, checkout)
    with pytest.raises(UserError, match="x86_64 alone"):
        kvm_unit_tests.checked(f"kvm-unit-tests:{checkout}", ARM64)


def test_tests_are_known_before_the_build(builder: Builder, checkout: Path) -> None:
    suite = find(checkout)
    program_names.check(("api*", "slow-one"), [suite], lambda: pytest.fail("no tree"))
    with pytest.raises(UserError) as caught:
        program_names.check(("apix",), [suite], lambda: pytest.fail("no tree"))
    assert caught.value.hint == "did you mean apic?"
    for file in ("configure", "x86", "Makefile"):
        with pytest.raises(UserError, match="can be called"):
            program_names.check((file,), [suite], lambda: pytest.fail("no tree"))


# --- what a test's script does ----------------------------------------------------------------


def run(folder: Path, body: str, *, qemu: bool = True) -> tuple[int, str, str]:
    """Run a standalone test with ``body`` as a guest with /dev/kvm would."""
    head = Path(kvm_unit_tests.__file__).with_suffix(".sh").read_text()
    assert "/dev/kvm " in head
    head = head.replace("-c /dev/kvm ", "-d / ").replace("/tmp/", f"{folder}/")
    (folder / "test").write_text(f"{head}#!/usr/bin/env bash\n{body}\n")
    (folder / "bin").mkdir(exist_ok=True)
    name = f"qemu-system-{os.uname().machine}" if qemu else "other"
    (folder / "bin" / name).write_text("#!/bin/sh\n")
    (folder / "bin" / name).chmod(0o755)
    ran = subprocess.run(
        ["/bin/bash", str(folder / "test")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{folder}/bin:/usr/bin:/bin"} if qemu else {"PATH": "/bin-less:/usr/bin"},
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("body", "status", "output"),
    [
        (r"echo -e '\e[32mPASS\e[0m a (3 tests)'", 0, "PASS a (3 tests)\n"),
        (r"export; echo -e 'PASS: a\r\nPASS a (1 tests)'", 0, "PASS: a\nPASS a (1 tests)\n"),
        ("echo SKIP a '(vmx not supported)'; exit 77", 4, "SKIP a (vmx not supported)\n"),
        ("echo SKIP a; exit 2", 4, "SKIP a\n"),
        ("echo A QEMU is too old; exit 2", 1, "A QEMU is too old\n"),
        ("echo FAIL a; exit 1", 1, "FAIL a\n"),
        ("echo FAIL a; exit 3", 1, "FAIL a\n"),
        ('echo "$ACCEL $TIMEOUT $QEMU"', 0, f"kvm 0 qemu-system-{os.uname().machine}\n"),
        ("read -r line; echo got=$line", 0, "got=\n"),
    ],
)
def test_how_a_test_ends(tmp_path: Path, body: str, status: int, output: str) -> None:
    assert run(tmp_path, body)[:2] == (status, output)


def test_what_failed_is_said_beside_the_exit_status(tmp_path: Path) -> None:
    body = r"echo -e 'PASS: a\r\nFAIL: b\r\nPASS: c\r\nFAIL x (3 tests, 1 unexpected)'; exit 1"
    status, _, err = run(tmp_path, body)
    assert (status, err) == (1, "the test exited with 1\nFAIL: b\n")


def test_a_test_without_qemu_is_not_started(tmp_path: Path) -> None:
    if Path(f"/usr/bin/qemu-system-{os.uname().machine}").exists():
        pytest.skip("this host has QEMU in /usr/bin, which the script needs, too")
    status, out, err = run(tmp_path, "echo started", qemu=False)
    assert (status, out) == (127, "")
    assert "No such file or directory" in err
