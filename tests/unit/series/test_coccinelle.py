"""scripts/coccinelle over the files of a fake tree, with a spatch that is a shell script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.fake_tree import make_tree, soon
from toolkit.host import sandbox
from toolkit.host.cache import Cache
from toolkit.series import coccinelle
from toolkit.series.coccinelle import Checker, Script

# Reports each line with "bad" in it, fails for fails.cocci, and counts its calls.
SPATCH = """#!/bin/sh
[ "$1" = --version ] && { echo "spatch version 1.1.1 compiled with OCaml"; exit; }
echo "$@" >>"CALLS"
case "$*" in *fails.cocci*) echo "No OCaml compiler found!" >&2; exit 255;; esac
grep -rn bad . | sort | sed -E 's/^([^:]*:[0-9]+):(.*)/\\1:2-9: ERROR: \\2, see line 7/'
"""
GOOD = "// Options: --no-includes\nvirtual report\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tools = tmp_path / "bin"
    tools.mkdir()
    # It sees none of the caller's environment.
    (tools / "spatch").write_text(SPATCH.replace("CALLS", str(tmp_path / "calls")))
    (tools / "spatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sandbox, "confine", lambda **_: ())  # it could not write there
    return make_tree(
        tmp_path / "tree",
        **{
            "scripts/coccinelle/free/bad.cocci": GOOD,
            "scripts/coccinelle/free/patch-only.cocci": "virtual patch\n",
            "scripts/coccinelle/misc/newer.cocci": f"// Requires: 1.2\n{GOOD}",
        },
    )


def make(tree: Path) -> Checker:
    made = coccinelle.checker(tree, Cache(tree.parent / "cache"), 2, soon())
    assert made
    return made


def test_runs_the_trees_scripts_with_their_options(tree: Path) -> None:
    checker = make(tree)
    assert [script.path.stem for script in checker.scripts] == ["bad"]
    versions = [("virt/kvm/a.c", b"good\nbad a\n"), ("virt/kvm/a.c", b"good\n"), ("b.h", b"bad b")]
    heard: list[tuple[int, int, str]] = []
    reports = checker.reports(versions, lambda *words: heard.append(words), soon())
    assert [reports[each].complaints for each in versions] == [
        ("virt/kvm/a.c: ERROR: bad a, see line N",),
        (),
        ("b.h: ERROR: bad b, see line N",),
    ]
    assert heard == [(1, 1, "bad")]
    (call,) = (tree.parent / "calls").read_text().splitlines()
    assert call.startswith("-D report --no-show-diff --very-quiet")
    assert call.endswith("/free/bad.cocci --no-includes --dir .")


def test_what_is_known_does_not_run_again(tree: Path) -> None:
    first, second = ("a.c", b"bad a\n"), ("a.c", b"bad b\n")
    before = make(tree).reports([first], lambda *_: None, soon())
    both = make(tree).reports([first, second], lambda *_: None, soon())
    assert both[first] == before[first]
    assert both[second].complaints == ("a.c: ERROR: bad b, see line N",)
    make(tree).reports([first, second], lambda *_: pytest.fail("ran again"), soon())


def test_a_changed_script_runs_again(tree: Path) -> None:
    version = ("a.c", b"bad a\n")
    make(tree).reports([version], lambda *_: None, soon())
    (tree / "scripts/coccinelle/free/bad.cocci").write_text(GOOD + "@@@@\n")
    heard: list[str] = []
    make(tree).reports([version], lambda *words: heard.append(str(words)), soon())
    assert heard


def test_a_script_that_fails_is_named_and_the_others_count(tree: Path) -> None:
    (tree / "scripts/coccinelle/null").mkdir()
    (tree / "scripts/coccinelle/null/fails.cocci").write_text(GOOD)
    version = ("a.c", b"bad a\n")
    report = make(tree).reports([version], lambda *_: None, soon())[version]
    assert report.complaints == ("a.c: ERROR: bad a, see line N",)
    assert report.failed == ("fails.cocci: No OCaml compiler found!",)


def test_without_spatch_there_is_no_checker(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tree.parent / "none"))
    monkeypatch.setattr("toolkit.host.process._search_path", lambda *_: None)
    assert coccinelle.checker(tree, Cache(tree.parent / "cache"), 2, soon()) is None


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("/// Find.\n// Options: --no-includes --include-headers\nvirtual report\n",
         Script(Path("a"), ("--no-includes", "--include-headers"))),
        ("//# Options: -I x\n// Requires: 1.0.4\nvirtual org,report\n",
         Script(Path("a"), ("-I", "x"), (1, 0, 4))),
        ("virtual patch\n// virtual report\n", None),
    ],
)  # fmt: skip
def test_reads_what_a_script_says_of_itself(text: str, script: Script | None) -> None:
    assert coccinelle.parse_script(Path("a"), text) == script


def test_numbers_of_lines_do_not_make_a_complaint_new() -> None:
    def say(line: int) -> list[tuple[str, str]]:
        return coccinelle.parse_complaints(
            [
                f"./3/virt/kvm/a.c:{line}:2-9: ERROR: reference preceded by free on line {line}",
                "4 files match",
                "fatal: not a git repository",
            ]
        )

    assert say(10) == say(99)
    assert say(10) == [("3", "virt/kvm/a.c: ERROR: reference preceded by free on line N")]
