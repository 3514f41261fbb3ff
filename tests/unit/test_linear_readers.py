"""What reads a stranger's patch, mail or build log takes time that grows with its size alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.fake_tree import create, edit
from tests.unit.linear import assert_linear
from toolkit.core.errors import UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import Patch, PatchedFile, PatchedTree
from toolkit.formats import compiler_log, gcov_json, kselftest_harness, mailheaders, patchfile
from toolkit.kernel import build_rules, kconfig_explain
from toolkit.kernel.build_failure import explain_failure
from toolkit.mutate import mutants
from toolkit.series.patching import _nearest
from toolkit.testing import in_tree_suites

HUNK = "@@ -1 +1 @@\n-old\n+new\n"
HEAD = "diff --git a/x.c b/x.c\n--- a/x.c\n+++ b/x.c\n"


def sections(text: str) -> None:
    with contextlib.suppress(UserError):
        patchfile.sections(Patch("p", "x", text.encode()))


class OneAuthor:
    """A series that wrote every line."""

    def patch_of(self, _file: str, _number: int) -> int:
        return 1


def makefile(text: str) -> None:
    base = KernelBase("tree:fake", "6.12.1", Path("/nowhere"), "base")
    build_rules.rules(PatchedTree(base, None, {"Makefile": PatchedFile(text.encode())}, "key"))


READERS: dict[str, Callable[[int], object]] = {
    "hunks of one file": lambda size: sections(HEAD + HUNK * (size // 20)),
    "files": lambda size: sections("".join(create(f"f{n}") for n in range(size // 100))),
    "prose": lambda size: sections("words\n" * (size // 6) + edit("x.c")),
    "modes": lambda size: sections(HEAD[:23] + "old mode 100644\n" * (size // 16)),
    "spaces in a name": lambda size: sections(f"diff --git a/{' ' * size}b\nold mode 100644\n"),
    "one long hunk": lambda size: sections(
        f"{HEAD}@@ -0,0 +1,{size // 8} @@\n" + "+a line\n" * (size // 8)
    ),
    "quotes in a name": lambda size: sections('diff --git "a/' + "\\" * size + '" x\nindex 1..2\n'),
    "headers": lambda size: mailheaders.read(b"X-A: b\n" * (size // 7) + b"\nbody"),
    "folded headers": lambda size: mailheaders.read(b"Subject: a\n" + b" b\n" * (size // 3)),
    "encoded words": lambda size: mailheaders.read(
        b"Subject: " + b"=?utf-8?q?x?= " * (size // 14) + b"\n\n"
    ),
    "ids": lambda size: mailheaders.read(b"References: " + b"<a@b> " * (size // 6) + b"\n\n"),
    "brackets": lambda size: mailheaders.tags("[" * size + "PATCH" + "]" * size),
    "tags": lambda size: mailheaders.tags("[PATCH v1] " * (size // 11)),
    "a compiler's errors": lambda size: explain_failure(["a.c:1:1: error: b"] * (size // 17), None),
    "a compiler's long path": lambda size: list(
        compiler_log.diagnostics(["a/../" * (size // 5) + "b.c:1:1: error: c"])
    ),
    "a long line of a build": lambda size: explain_failure(["a: " * size], None),
    "a target's build": lambda size: in_tree_suites.faults(
        ["make: *** [Makefile:1: x] Error 1"] * (size // 33), []
    ),
    "a list of cases": lambda size: kselftest_harness.cases("# a  b\n" * (size // 7)),
    "equal lines of a file": lambda size: _nearest(["call();"] * (size // 8), ["call();"] * 30, 0),
    "many old lines": lambda size: _nearest(
        [f"call({n});" for n in range(size // 8)], [f"call({n});" for n in range(size // 8)], 0
    ),
    "a Makefile's backslashes": lambda size: makefile("\\" * size),
    "a Makefile's objects": lambda size: makefile("obj-y += " + "a/b.o " * (size // 6)),
    "an object's long name": lambda size: makefile("obj-y += " + "a/" * (size // 2) + "-"),
    "a Kconfig expression": lambda size: kconfig_explain.failing(["A && " * size + "B"], {}, "y"),
    "alternatives of a Kconfig expression": lambda size: kconfig_explain.failing(
        ["A || " * size + "B"], {}, "y"
    ),
    "parentheses of an expression": lambda size: mutants.of_file(
        "a.c", b"int f(int x)\n{\n\treturn g" + b"((x)" * (size // 8) + b";\n}\n", OneAuthor()
    ),
    "negations": lambda size: mutants.of_file(
        "a.c", b"int f(int x)\n{\n\treturn " + b"!" * (size // 8) + b"x;\n}\n", OneAuthor()
    ),
    "functions within functions": lambda size: mutants.of_file(
        "a.c", b"int f(int x)\n{\n" * (size // 64) + b"}\n" * (size // 64), OneAuthor()
    ),
    "gcov's documents": lambda size: gcov_json.read(
        b'{"current_working_directory": "/a", "files": []}\n' * (size // 50), "/a"
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_time_is_linear(name: str) -> None:
    assert_linear(READERS[name], 1 << 15)
