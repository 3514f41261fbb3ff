"""Coverage of a series of two patches, with a real compiler and a real gcov."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.fake_tree import mail, soon
from toolkit.core.model.coverage import LineRun
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import Explained, Patch, PatchedFile, PatchedTree, PatchSeries
from toolkit.host import process, sandbox
from toolkit.kernel.gcov_build import Profiled
from toolkit.report import coverage_view
from toolkit.testing import coverage

BEFORE = """int main(int argc, char **argv)
{
\treturn 0;
}
"""
FIRST = """diff --git a/virt/demo.c b/virt/demo.c
--- a/virt/demo.c
+++ b/virt/demo.c
@@ -1,4 +1,9 @@
+#include "demo.h"
+
 int main(int argc, char **argv)
 {
+\tif (argc > 3)
+\t\treturn 3;
+\t(void)argv;
 \treturn 0;
 }
diff --git a/virt/demo.h b/virt/demo.h
new file mode 100644
--- /dev/null
+++ b/virt/demo.h
@@ -0,0 +1,8 @@
+#include <stdlib.h>
+
+static __attribute__((noinline)) int twice(int x)
+{
+\tif (x > 1)
+\t\tabort();
+\treturn 2 * x;
+}
diff --git a/virt/other.c b/virt/other.c
new file mode 100644
--- /dev/null
+++ b/virt/other.c
@@ -0,0 +1 @@
+int other(void) { return 1; }
"""
SECOND = """diff --git a/virt/demo.c b/virt/demo.c
--- a/virt/demo.c
+++ b/virt/demo.c
@@ -5,5 +5,5 @@
 \tif (argc > 3)
 \t\treturn 3;
 \t(void)argv;
-\treturn 0;
+\treturn twice(argc - 1);
 }
"""
AFTER = """#include "demo.h"

int main(int argc, char **argv)
{
\tif (argc > 3)
\t\treturn 3;
\t(void)argv;
\treturn twice(argc - 1);
}
"""
HEADER = "".join(f"{line[1:]}\n" for line in FIRST.split("@@ -0,0 +1,8 @@\n")[1].split("\n")[:8])
OTHER = "int other(void) { return 1; }\n"
PATCHES = tuple(
    Patch(f"{number}.patch", f"patch {number}", mail(text))
    for number, text in enumerate((FIRST, SECOND), 1)
)


class Kernel:
    """A program that was compiled as kbuild compiles KVM's objects, and what runs of it left."""

    def __init__(self, root: Path) -> None:
        self.output, self.base = root / "out", root / "base"
        for folder in (
            "out/arch/x86/kvm",
            "out/virt",
            "src/arch/x86/kvm",
            "src/virt",
            "notes/virt",
            "base/virt",
        ):
            (root / folder).mkdir(parents=True)
        (root / "base/virt/demo.c").write_text(BEFORE)
        (root / "src/virt/demo.c").write_text(AFTER)
        (root / "src/virt/demo.h").write_text(HEADER)
        prefix = "arch/x86/kvm/../../../virt/demo"
        self.sh("gcc", "--coverage", "-c", "-o", f"{prefix}.o", f"{root}/src/{prefix}.c")
        self.sh("gcc", "--coverage", "virt/demo.o", "-o", "demo")
        (self.output / "virt/demo.gcno").rename(root / "notes/virt/demo.gcno")
        self.profiled = Profiled(
            root / "notes", str(root / "src"), str(self.output), ("virt/demo",)
        )
        self.counters = root / "counters"

    def sh(self, *argv: str) -> None:
        subprocess.run(argv, cwd=self.output, check=False, capture_output=True)

    def run(self, program: str, *arguments: str) -> None:
        self.sh("./demo", *arguments)
        target = self.counters / program / "virt/demo.gcda"
        target.parent.mkdir(parents=True)
        (self.output / "virt/demo.gcda").rename(target)


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def a_tree(kernel: Kernel, *unrun: Explained) -> PatchedTree:
    series = PatchSeries("t/v1", "t", "6.12", PATCHES, unrun=unrun)
    files = {"virt/demo.c": AFTER, "virt/demo.h": HEADER, "virt/other.c": OTHER}
    base = KernelBase("tree:fake", "6.12.1", kernel.base, "base")
    return PatchedTree(base, series, {n: PatchedFile(t.encode()) for n, t in files.items()}, "k")


def measure(
    kernel: Kernel,
    *programs: str,
    tree: PatchedTree | None = None,
    lost: Mapping[str, str] | None = None,
) -> coverage.Measured:
    return coverage.measure(
        tree or a_tree(kernel),
        kernel.profiled,
        kernel.counters,
        programs=programs,
        lost=lost or {},
        deadline=soon(),
    )


def lines(found: coverage.Measured) -> dict[str, LineRun]:
    return {line.text: line for hunk in found.coverage.hunks for line in hunk.lines}


def test_each_line_is_its_patch_s_with_the_programs_that_ran_it(kernel: Kernel) -> None:
    kernel.run("kvm/one")
    kernel.run("kvm/four", "1", "2", "3")
    found = measure(kernel, "boot", "kvm/one", "kvm/four", "kvm/never")
    assert found.coverage.programs == ("kvm/one", "kvm/four")
    by_text = lines(found)
    assert by_text["+\tif (argc > 3)"].ran == (0, 1)
    assert by_text["+\t\treturn 3;"].ran == (1,)
    assert by_text["+\treturn twice(argc - 1);"].ran == (0,)
    assert by_text["+\treturn twice(argc - 1);"].number == 8
    assert by_text["+\t(void)argv;"].number == 0
    assert by_text["+\treturn 2 * x;"].ran == (0,)  # of a header
    assert coverage_view.is_unrun(by_text["+\t\tabort();"])
    first, second = found.coverage.patches
    assert (first.patch, first.lines - first.ran) == (1, 1)
    assert (second.patch, second.lines, second.ran) == (2, 1, 1)
    assert [(hunk.patch, hunk.file) for hunk in found.coverage.hunks] == [
        (1, "virt/demo.c"),
        (1, "virt/demo.h"),
        (2, "virt/demo.c"),
    ]
    assert found.coverage.unbuilt == ("virt/other.c",)


def test_without_any_counters_nothing_ran(kernel: Kernel) -> None:
    found = measure(kernel, "kvm/one", lost={"kvm/one": "the guest hung"})
    total = coverage_view.total(found.coverage)
    assert (total.lines > 5, total.ran) == (True, 0)
    assert found.coverage.lost == ("kvm/one: the guest hung",)


@pytest.mark.parametrize("damage", [b"", b"adcg", b"adcg" + b"\xff" * 600, b"\0" * 100])
def test_counters_that_are_none_are_told_and_count_nothing(kernel: Kernel, damage: bytes) -> None:
    kernel.run("kvm/good", "1", "2", "3")
    kernel.run("kvm/bad")
    (kernel.counters / "kvm/bad/virt/demo.gcda").write_bytes(damage)
    found = measure(kernel, "kvm/good", "kvm/bad")
    assert lines(found)["+\t\treturn 3;"].ran == (0,)
    assert not lines(found)["+\treturn 2 * x;"].ran
    assert found.coverage.programs == ("kvm/good",)
    (said,) = found.coverage.lost
    assert said.startswith("kvm/bad: gcov cannot read its counters: ")
    assert "prlimit" not in said
    assert str(kernel.output) not in said


def test_what_a_guest_forges_counts_for_its_program_alone_and_gcov_survives_it(
    kernel: Kernel,
) -> None:
    kernel.run("kvm/honest")
    honest = (kernel.counters / "kvm/honest/virt/demo.gcda").read_bytes()
    dice = random.Random(1)  # so that it is the same each time
    names = [f"kvm/forged{number}" for number in range(30)]
    for name in names:
        forged = bytearray(honest)
        for _ in range(dice.randint(1, 30)):
            forged[dice.randrange(4, len(forged))] = dice.randrange(256)
        target = kernel.counters / name / "virt/demo.gcda"
        target.parent.mkdir(parents=True)
        target.write_bytes(forged[: dice.randrange(8, len(forged) + 1)])
    found = measure(kernel, "kvm/honest", *names).coverage
    assert {*found.programs, *(entry.split(":")[0] for entry in found.lost)} == {
        "kvm/honest",
        *names,
    }
    truth = lines(measure(kernel, "kvm/honest"))
    forged_lines = {line.text: line for hunk in found.hunks for line in hunk.lines}
    assert forged_lines.keys() == truth.keys()
    for text, line in truth.items():
        assert (0 in forged_lines[text].ran) == (0 in line.ran)


def test_gcov_sees_counters_and_source_and_nothing_else(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    run = process.run

    def watched(argv: Sequence[str], **options: Any) -> process.Completed:
        asked.extend(map(str, [*options.get("within", ()), *argv]))
        return run(argv, **options)

    monkeypatch.setattr(process, "run", watched)
    kernel.run("kvm/one")
    measure(kernel, "kvm/one")
    assert f"--as={1 << 30}" in asked
    if sandbox.probe().options is not None:
        assert str(kernel.counters / "kvm/one") in asked
        assert "--unshare-net" in asked


def test_a_source_that_was_written_again_since_does_no_harm(kernel: Kernel) -> None:
    kernel.run("kvm/one")
    later = time.time() + 100
    os.utime(kernel.output.parent / "src/virt/demo.c", (later, later))
    assert measure(kernel, "kvm/one").coverage.programs == ("kvm/one",)


def test_a_line_is_explained_by_its_text_or_its_function(kernel: Kernel) -> None:
    kernel.run("kvm/one")
    by_text = Explained("virt/demo.c", "three more words", line="return 3;")
    by_function = Explained("virt/demo.h", "never", function="twice")
    both = Explained("virt/demo.h", "stale: another function", line="abort();", function="main")
    ran = Explained("virt/demo.c", "stale: it ran", line="return twice(argc - 1);")
    found = measure(kernel, "kvm/one", tree=a_tree(kernel, by_text, both, by_function, ran))
    assert lines(found)["+\t\treturn 3;"].explained == "three more words"
    assert lines(found)["+\t\tabort();"].explained == "never"
    assert found.stale == (both, ran)
    total = coverage_view.total(found.coverage)
    assert (total.explained, total.ran + total.explained) == (2, total.lines)


def test_a_series_without_code_has_no_lines(kernel: Kernel) -> None:
    nothing = dataclasses.replace(kernel.profiled, objects=())
    kernel.profiled = nothing
    assert measure(kernel, "boot").coverage.patches == ()


def test_what_a_result_keeps_is_bounded_and_the_sums_are_not(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = measure(kernel).coverage
    monkeypatch.setattr(coverage, "MAX_LINES", 12)
    found = measure(kernel).coverage
    assert found.hunks == every.hunks[:1]
    assert found.patches == every.patches
