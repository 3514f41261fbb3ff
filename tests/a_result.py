"""Results of runs that never were, one for each state that a report has to show."""

from __future__ import annotations

import dataclasses
from typing import Any

from toolkit.core.model.comparison import (
    ComparedLeaf,
    Comparison,
    LeafChange,
    LeafClass,
    PatchStep,
    Repeats,
    StepState,
)
from toolkit.core.model.coverage import Coverage, HunkRun, LineRun, PatchRun
from toolkit.core.model.machine import Splat
from toolkit.core.model.provenance import Environment
from toolkit.core.model.result import RunResult, StageRecord, Verdict
from toolkit.core.model.series import Blame, Mailing
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import coverage_view

ENVIRONMENT = Environment(
    host="Debian GNU/Linux 12 (bookworm), Linux 6.1.0-28-amd64",
    processor="AMD EPYC 7B13",
    cpus=2,
    memory_mib=24105,
    python="3.11.7",
    architecture="x86_64",
    compiler="gcc (Debian 12.2.0-14) 12.2.0; GNU ld (GNU Binutils for Debian) 2.40",
    config="a9ace9204163e51adb0827ac949dff33",
    build="4920f8b6d82a233840ec66d26610bfca",
    image="minimal 13a1fb6041603fc2c3139ddb8a2979cb",
    machine="q35, 2 CPUs, 1024 MiB",
    sandbox="bubblewrap 0.8.0",
)
STAGES = (
    StageRecord("fetch", 0.21, True, "debian:6.12, Linux 6.12.117"),
    StageRecord("patch", 0.34, False, "iosignalfd/v4, 3 patches, 9 files"),
    StageRecord("configure", 0.02, True, "tinyconfig and 92 options"),
    StageRecord("build", 347.3, False, "Linux 6.12.117"),
    StageRecord("image", 0.42, True, "minimal"),
    StageRecord("accelerator", 0.05, True, "tcg"),
    StageRecord("selftests", 11.2, False, "16 programs"),
    StageRecord("boot", 4.6, False, "SSH on port 40123"),
    StageRecord("test", 29.8, False, "480 cases"),
)
_PASS = Status.PASS
PATCHES = (
    "KVM: let devices on the I/O bus say whether they want a write",
    "KVM: add iosignalfd",
    "KVM: document iosignalfd",
)
MAILING = Mailing(
    message_id="<20260528-iosignalfd-v4-0@example.org>",
    subject="[KVM PATCH v4 0/3] iosignalfd",
    sender="Grégory Example <greg@example.org>",
    to="kvm@vger.example.org",
    cc="Linux Kernel <lkml@vger.example.org>",
    date="Wed, 27 May 2026 10:00:00 -0400",
)
PROGRAMS = ("args", "match", "deassign", "limit", "stress")
WARNING = Splat(
    "warning",
    "WARNING: CPU: 1 PID: 61 at virt/kvm/iosignalfd.c:212 iosignalfd_release+0x41/0x60 [kvm]",
    "------------[ cut here ]------------\n"
    "WARNING: CPU: 1 PID: 61 at virt/kvm/iosignalfd.c:212 iosignalfd_release+0x41/0x60 [kvm]\n"
    "Modules linked in: kvm_amd kvm\n"
    "RIP: 0010:iosignalfd_release+0x41/0x60 [kvm]\n"
    "Call Trace:\n <TASK>\n kvm_vm_release+0x1a/0x30 [kvm]\n __fput+0x9f/0x2a0\n </TASK>\n"
    "---[ end trace 0000000000000000 ]---",
    fatal=False,
    line=212,
    during="kvm/iosignalfd_deassign_test",
    decoded="------------[ cut here ]------------\n"
    "WARNING: CPU: 1 PID: 61 at virt/kvm/iosignalfd.c:212 "
    "iosignalfd_release (virt/kvm/iosignalfd.c:212) [kvm]\n"
    "Modules linked in: kvm_amd kvm\n"
    "RIP: 0010:iosignalfd_release (virt/kvm/iosignalfd.c:212) [kvm]\n"
    "Call Trace:\n <TASK>\n kvm_vm_release (virt/kvm/kvm_main.c:1350) [kvm]\n"
    " __fput (fs/file_table.c:433)\n </TASK>\n"
    "---[ end trace 0000000000000000 ]---",
)
PANIC = Splat(
    "panic",
    "Kernel panic - not syncing: Fatal exception",
    "BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
    "#PF: supervisor read access in kernel mode\n"
    "RIP: 0010:iosignalfd_in_range+0x12/0x70 [kvm]\n"
    "Call Trace:\n <TASK>\n kvm_io_bus_write+0x55/0xc0 [kvm]\n </TASK>\n"
    "Kernel panic - not syncing: Fatal exception\n"
    "---[ end Kernel panic - not syncing: Fatal exception ]---",
    fatal=True,
    line=340,
    during="kvm/iosignalfd_match_test",
)
BLAME = Blame(
    said="virt/kvm/iosignalfd.c:88:9: error: implicit declaration of function 'eventfd_signal_all'",
    file="virt/kvm/iosignalfd.c",
    line=88,
    patch=2,
    subject=PATCHES[1],
    hunk=(
        "@@ -0,0 +1,412 @@",
        "+static int iosignalfd_write(struct kvm_vcpu *vcpu, struct kvm_io_device *this,",
        "+\t\t\t    gpa_t addr, int len, const void *val)",
        "+{",
        "+\tif (!iosignalfd_in_range(p, addr, len, val))",
        "+\t\treturn -EOPNOTSUPP;",
        "+\teventfd_signal_all(p->ctx);",
        "+\treturn 0;",
        "+}",
    ),
    at=6,
)


COVERAGE = Coverage(
    programs=("boot", *(f"kvm/iosignalfd_{program}_test" for program in PROGRAMS)),
    patches=(PatchRun(1, PATCHES[0], 12, 12, 0), PatchRun(2, PATCHES[1], 9, 7, 1)),
    hunks=(
        HunkRun(
            2,
            "virt/kvm/iosignalfd.c",
            (
                LineRun("@@ -0,0 +1,412 @@"),
                LineRun("+static int iosignalfd_assign(struct kvm *kvm, struct eventfd_ctx *ctx)"),
                LineRun("+{", 40, (1, 2, 3)),
                LineRun("+\tstruct iosignalfd *p;"),
                LineRun("+"),
                LineRun("+\tp = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);", 43, (1, 2, 3)),
                LineRun("+\tif (!p)", 44, (1, 2, 3)),
                LineRun("+\t\treturn -ENOMEM;", 45),
                LineRun("+\tif (WARN_ON(!ctx))", 46, (1,)),
                LineRun("+\t\treturn -EINVAL;", 47, (), "the caller has looked already"),
                LineRun("+\tp->ctx = ctx;", 48, (1, 2, 3)),
                LineRun("+\treturn 0;", 49, (1, 2, 3)),
                LineRun("+}", 50, (1, 2, 3)),
            ),
        ),
    ),
    unbuilt=("virt/kvm/iosignalfd_arm64.c",),
    lost=("kvm/iosignalfd_stress_test: the guest hung",),
    wanted=95.0,
)


def leaves(per_program: int = 12) -> tuple[Leaf, ...]:
    """Return leaves that all end well, some of them skipped."""
    return tuple(
        Leaf(
            f"kvm/iosignalfd_{program}_test/case_{number:02}",
            Status.SKIP if number == 5 else Status.PASS,
            "needs a kernel with fault injection" if number == 5 else "",
            round(0.01 * (number + 1) * (place + 1), 3),
        )
        for place, program in enumerate(PROGRAMS)
        for number in range(per_program)
    )


PASSED = RunResult(
    verdict=Verdict.PASS,
    exit_code=0,
    command=("toolkit", "build-and-test", "--patch", "v4"),
    started="2026-05-28T09:12:44+00:00",
    seconds=445.2,
    toolkit="0.1",
    series="iosignalfd/v4",
    patches=PATCHES,
    kernel="debian:6.12",
    release="6.12.117",
    accelerator="tcg",
    accelerator_reason="this host has no /dev/kvm",
    qemu="7.2.19",
    stages=STAGES,
    leaves=leaves(),
    environment=ENVIRONMENT,
    mailing=MAILING,
)


def passed(**changes: Any) -> RunResult:
    """Return a run that passed, with changes."""
    return dataclasses.replace(PASSED, **changes)


def failed() -> RunResult:
    """Return a run with failures of several kinds, one of them the kernel's own complaint."""
    bad = {
        "kvm/iosignalfd_args_test/case_03": Leaf(
            "kvm/iosignalfd_args_test/case_03",
            Status.FAIL,
            "iosignalfd_args_test.c:41:case_03:Expected EINVAL (22) == errno (0)\n"
            "a len of 3 must be refused",
            0.04,
        ),
        "kvm/iosignalfd_limit_test/case_01": Leaf(
            "kvm/iosignalfd_limit_test/case_01",
            Status.XFAIL,
            "no limit is exposed",
            0.3,
            "the review asked for a bound that user space can see",
        ),
        "kvm/iosignalfd_stress_test/case_09": Leaf(
            "kvm/iosignalfd_stress_test/case_09", Status.TIMEOUT, "did not end within 45 s", 45.0
        ),
    }
    all_leaves = [bad.get(leaf.id, leaf) for leaf in leaves()]
    all_leaves.append(Leaf(f"{WARNING.during}/dmesg", Status.FAIL, WARNING.title))
    blame = dataclasses.replace(
        BLAME, said=WARNING.title, line=212, hunk=("@@ -0,0 +1,412 @@", "+\tWARN_ON(!p);"), at=1
    )
    return passed(
        verdict=Verdict.FAIL,
        exit_code=1,
        leaves=tuple(all_leaves),
        splats=(WARNING,),
        blames=(blame,),
    )


def covered() -> RunResult:
    """Return a run that passed but for the lines that it did not run."""
    return passed(
        verdict=Verdict.FAIL,
        exit_code=1,
        message=coverage_view.below(COVERAGE),
        coverage=COVERAGE,
    )


def panicked() -> RunResult:
    """Return a run in which one program took its machine with it."""
    all_leaves = [
        Leaf(
            leaf.id,
            Status.CRASH,
            f"the kernel ended with: {PANIC.title}" if leaf.id.endswith("04") else "",
        )
        if leaf.id.startswith(PANIC.during) and leaf.id[-2:] >= "04"
        else leaf
        for leaf in leaves()
    ]
    all_leaves.append(Leaf(f"{PANIC.during}/dmesg", Status.CRASH, PANIC.title))
    return passed(verdict=Verdict.FAIL, exit_code=1, leaves=tuple(all_leaves), splats=(PANIC,))


def broken() -> RunResult:
    """Return a run whose kernel did not compile."""
    return passed(
        verdict=Verdict.BUILD_BREAK,
        exit_code=1,
        message="the kernel does not build",
        detail=(
            "virt/kvm/iosignalfd.c: In function 'iosignalfd_write':",
            BLAME.said,
            "   88 |         eventfd_signal_all(p->ctx);",
            "      |         ^~~~~~~~~~~~~~~~~~",
            "make[4]: *** [scripts/Makefile.build:229: virt/kvm/iosignalfd.o] Error 1",
        ),
        blames=(BLAME,),
        leaves=(),
        stages=STAGES[:3],
        seconds=12.4,
        accelerator="",
        qemu="",
    )


def without_tests() -> RunResult:
    """Return a run in which everything was skipped."""
    all_leaves = tuple(
        Leaf(leaf.id, Status.SKIP, "/dev/kvm cannot be opened", leaf.seconds) for leaf in leaves(2)
    )
    return passed(verdict=Verdict.NO_TESTS, exit_code=1, leaves=all_leaves)


_ARGS, _MATCH = "kvm/iosignalfd_args_test/case_03", "kvm/iosignalfd_match_test/case_01"
_FLAKE, _MENDED = "kvm/iosignalfd_stress_test/case_09", "kvm/iosignalfd_limit_test/case_02"
_ALWAYS = Repeats(0, 6, 6, 6, 0.00108, 0.002, established=True)
_RARELY = Repeats(2, 48, 3, 48, 0.5, 0.002, established=False)


def patch_by_patch() -> RunResult:
    """Return a run that was compared with its base, patch by patch: one patch broke two leaves."""
    often = f"in 6 of 6 runs, before in 0 of 6 (p = {_ALWAYS.p})"
    bad = {
        _ARGS: Leaf(_ARGS, Status.FAIL, f"{often}\nExpected EINVAL (22) == errno (0)", 0.04),
        _MATCH: Leaf(_MATCH, Status.FAIL, f"{often}\nExpected 1 == count (0)", 0.2),
        _FLAKE: Leaf(_FLAKE, Status.XFAIL, "lost a write", 4.1, "flaky: in 3 of 48 runs"),
    }
    with_series = tuple(bad.get(leaf.id, leaf) for leaf in leaves())
    return passed(
        verdict=Verdict.FAIL,
        exit_code=1,
        leaves=with_series,
        comparison=Comparison(
            "unpatched debian:6.12, Linux 6.12.117", 0.99, tuple(map(_compared, with_series))
        ),
        steps=_steps(),
    )


def _compared(leaf: Leaf) -> ComparedLeaf:
    kind, before, repeats = {
        _ARGS: (LeafClass.REGRESSION, _PASS, _ALWAYS),
        _MATCH: (LeafClass.REGRESSION, _PASS, _ALWAYS),
        _FLAKE: (LeafClass.FLAKY, _PASS, _RARELY),
        _MENDED: (LeafClass.FIXED, Status.FAIL, _ALWAYS),
    }.get(leaf.id, (LeafClass.UNCHANGED, _PASS, None))
    if leaf.status is Status.SKIP:
        kind, before = LeafClass.UNTESTABLE, Status.SKIP
    return ComparedLeaf(leaf.id, kind, before, leaf.status, leaf.message, repeats)


def _steps() -> tuple[PatchStep, ...]:
    new = [leaf.id for leaf in leaves() if "limit" in leaf.id and leaf.id != _MENDED]
    other_way = "Expected 0 == errno (17)"
    return (
        PatchStep(0, "", StepState.TESTED, 31.2, {_PASS: 47, Status.SKIP: 13}),
        PatchStep(
            1,
            PATCHES[0],
            StepState.TESTED,
            33.0,
            {Status.FAIL: 1, _PASS: 46, Status.SKIP: 13},
            (LeafChange(_ARGS, _PASS, Status.FAIL, "Expected EINVAL (22)", "", _ALWAYS),),
            ("virt/kvm/kvm_main.c: unused variable 'i' [-Wunused-variable]",),
        ),
        PatchStep(
            2,
            PATCHES[1],
            StepState.TESTED,
            40.5,
            {Status.FAIL: 2, _PASS: 53, Status.SKIP: 5},
            (
                LeafChange(_ARGS, Status.FAIL, Status.FAIL, other_way, "(22)", _ALWAYS),
                LeafChange(_MATCH, _PASS, Status.FAIL, "Expected 1 == count (0)", "", _ALWAYS),
                LeafChange(_MENDED, Status.FAIL, _PASS, "", "Expected 2"),
                *(LeafChange(name, Status.SKIP, _PASS) for name in new),
            ),
        ),
        PatchStep(3, PATCHES[2], StepState.SAME, 0.4, {Status.FAIL: 2, _PASS: 53, Status.SKIP: 5}),
    )


HOSTILE = (
    "</pre></script><script>window.stolen=1</script><img src=x onerror=window.stolen=1>"
    "\x1b[31mred\x1b]0;title\x07 \u202eright-to-left\u2066 \x00 \ufffe \u2028 "
    "``` | \" ' & {{ 7*7 }}"
)


def hostile() -> RunResult:
    """Return a run in which everything that a stranger can write tries to get out of its place."""
    bad = HOSTILE
    splat = Splat("bug", bad, f"{bad}\n{bad}", fatal=True, line=1, during=f"s/{bad}", decoded=bad)
    blame = Blame(bad, bad, 1, 1, bad, ("@@ -1 +1 @@", f"+{bad}"), 1)
    return RunResult(
        verdict=Verdict.FAIL,
        exit_code=1,
        command=("toolkit", "build-and-test", "--patch", bad),
        started="2026-01-01T00:00:00+00:00",
        seconds=1.0,
        toolkit="0.1",
        message=bad,
        detail=(bad,),
        series=bad,
        patches=(bad,),
        kernel=bad,
        release=bad,
        accelerator="tcg",
        accelerator_reason=bad,
        qemu=bad,
        stages=(StageRecord(bad, 1.0, False, bad),),
        leaves=(
            Leaf(f"s/{bad}/{bad}", Status.FAIL, bad, 0.1, bad),
            Leaf(f"s/{bad}/dmesg", Status.CRASH, bad),
            Leaf("s/p/skipped", Status.SKIP, bad),
        ),
        splats=(splat, dataclasses.replace(splat, during="")),
        blames=(blame,),
        coverage=Coverage(
            programs=(bad,),
            patches=(PatchRun(1, bad, 2, 1, 1),),
            hunks=(HunkRun(1, bad, (LineRun(bad), LineRun(f"+{bad}", 1, (), bad))),),
            unbuilt=(bad,),
            lost=(f"{bad}: {bad}",),
        ),
        mailing=Mailing(
            message_id="<a@b>",
            subject=f"{bad}\nBcc: victim@example.org",
            sender=f"{bad} <a@example.org>",
            to=f"x@example.org\nBcc: victim@example.org, {bad}",
        ),
        environment=dataclasses.replace(ENVIRONMENT, compiler=bad, image=bad, machine=bad),
        comparison=Comparison(
            bad, 0.99, (ComparedLeaf(f"s/{bad}/x", LeafClass.REGRESSION, _PASS, Status.FAIL, bad),)
        ),
        steps=(
            PatchStep(0, bad, StepState.TESTED, 1.0, {}),
            PatchStep(
                1,
                bad,
                StepState.TESTED,
                1.0,
                {Status.FAIL: 1},
                (LeafChange(f"s/{bad}/x", _PASS, Status.FAIL, bad, bad),),
                (bad,),
                bad,
            ),
        ),
    )


def huge(count: int = 10_000) -> RunResult:
    """Return a run with many leaves, one in a hundred of them bad, in programs of 50."""
    kinds = {3: Status.SKIP, 7: Status.FAIL, 13: Status.SKIP}
    all_leaves = []
    for number in range(count):
        status = kinds.get(number % 100 if number % 100 == 7 else number % 20, Status.PASS)
        if status is Status.FAIL and number % 100 != 7:
            status = Status.PASS
        message = "" if status is Status.PASS else f"what was wanted and what came: {number}"
        name = f"upstream-kvm/program_{number // 50:03}_test/a_case_with_a_usual_name_{number}"
        all_leaves.append(Leaf(name, status, message, number % 17 / 10))
    return passed(verdict=Verdict.FAIL, exit_code=1, leaves=tuple(all_leaves))


STATES = {
    "pass": passed,
    "regression": failed,
    "patch-by-patch": patch_by_patch,
    "coverage": covered,
    "panic": panicked,
    "build-break": broken,
    "no-tests": without_tests,
}
