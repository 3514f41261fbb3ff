from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.linear import assert_linear
from toolkit.core.model.testing import Status, TestNode
from toolkit.formats import ktap, ktap_document

DATA = Path(__file__).parents[2] / "data" / "ktap"
CUT = {"harness_died", "cut_utf8"}

# The pieces that documents are made of, so that generated ones hit the grammar and not only noise.
PIECES = [
    "KTAP version 1", "TAP version 13", "1..0 # SKIP why", "1..2", "1..5", "1..999999999",
    "ok 1 a", "ok 2 - b", "ok 3", "ok", "not ok 1 a", "not ok 2 - b # TODO x", "ok 4 # SKIP s",
    "ok 1 x # XFAIL y", "ok 3 x# XPASS", "not ok 3 # TIMEOUT 45 seconds", "ok 5 # error e",
    "ok 77777777777 big", "#  RUN           f.v.c ...", "#            OK  f.v.c", "# Subtest: s",
    "# Totals: pass:1 fail:0", "Bail out! gone", "[   12.345] eth0: up", "[ 1.0] KTAP version 1",
    "---", "...", "bail out! gone", "ok 2 d # skip-it", "ok 3 e #1 # SKIP",
    "noise", "ok then", "", "\x00ok 2 nul", "\x1b[31mnot ok 2 red\x1b[0m", "50%\rok 2 c",
]  # fmt: skip
LEADS = ["", "  ", "    ", "# ", "# # ", "  # ", "#", "\t", "[    1.5] ", " " * 70]
lines = st.tuples(st.sampled_from(LEADS), st.one_of(st.sampled_from(PIECES), st.text(max_size=12)))
documents = st.lists(lines.map("".join), max_size=25).map("\n".join)
texts = st.one_of(st.text(), documents, documents.map(lambda text: text + "\n"))


def walk(node: TestNode) -> Iterator[TestNode]:
    yield node
    for child in node.children:
        yield from walk(child)


def leaves(node: TestNode) -> list[TestNode]:
    return [each for each in walk(node) if each.name and not each.children]


def passes(node: TestNode) -> Counter[str]:
    return Counter(leaf.name for leaf in leaves(node) if leaf.status is Status.PASS)


def plain(node: TestNode) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": node.name, "status": node.status.value}
    if node.message:
        shown["message"] = node.message
    if node.children:
        shown["children"] = [plain(child) for child in node.children]
    return shown


@pytest.mark.parametrize("log", sorted(DATA.glob("*.log")), ids=lambda path: path.stem)
def test_golden_log(log: Path) -> None:
    text = log.read_bytes().decode(errors="replace")
    tree = ktap.parse_text(text, complete=log.stem not in CUT)
    assert plain(tree) == json.loads(log.with_suffix(".json").read_text())


def statuses(text: str, *, complete: bool = True) -> dict[str, Status]:
    return {leaf.name: leaf.status for leaf in leaves(ktap.parse_text(text, complete=complete))}


def test_planned_tests_that_never_came_crashed() -> None:
    assert statuses("1..5\nok 1 a\nok 2 b\nok 3 c\n") == {
        "a": Status.PASS,
        "b": Status.PASS,
        "c": Status.PASS,
        "4..5": Status.CRASH,
    }


def test_running_case_without_result_crashed() -> None:
    text = "#  RUN           f.case ...\n#            OK  f.case\n"
    assert statuses("1..1\n" + text) == {"f.case": Status.CRASH}


def test_a_result_without_a_name_has_that_of_the_case_that_runs() -> None:
    text = "1..2\n#  RUN           f.a ...\nok 1 # SKIP why\n#  RUN           f.b ...\nok 2 f.b\n"
    assert statuses(text) == {"f.a": Status.SKIP, "f.b": Status.PASS}


def test_cut_ok_line_is_no_pass_unless_the_program_ended() -> None:
    assert statuses("1..1\nok 1 a", complete=False) == {"a": Status.CRASH}
    assert statuses("1..1\nok 1 a", complete=True) == {"a": Status.PASS}


def test_results_that_nobody_kept_are_no_pass_without_a_plan() -> None:
    text = "TAP version 13\nok 1 a\nok 2 b"
    assert ktap.parse_text(f"{text}\n").status is Status.PASS
    assert ktap.parse_text(f"{text}\n", more=True).status is Status.ERROR
    assert ktap.parse_text(f"{text}\n1..2\nnoise", more=True).status is Status.PASS
    assert ktap.parse_text(f"1..2\n{text}", more=True).status is Status.CRASH
    assert ktap.parse_text("noise\n", more=True).children == ()


def test_cut_plan_is_not_believed() -> None:
    tree = ktap.parse_text("ok 1 a\n1..1", complete=False)
    assert tree.status is Status.CRASH


def test_nested_parent_that_never_ended_crashed() -> None:
    tree = ktap.parse_text("1..1\n  1..1\n  # Subtest: inner\n  ok 1 a\n")
    assert [(n.name, n.status) for n in walk(tree)] == [
        ("", Status.CRASH),
        ("inner", Status.CRASH),
        ("a", Status.PASS),
    ]


def test_parent_is_as_bad_as_its_children() -> None:
    tree = ktap.parse_text("1..1\n  1..2\n  not ok 1 a\n  ok 2 b\nok 1 parent\n")
    assert tree.children[0].status is Status.FAIL


def test_comment_that_looks_like_a_result_is_none() -> None:
    assert statuses("1..1\n# ok 7 things\n# not ok 8 things\nok 1 a\n") == {"a": Status.PASS}


def test_message_is_bounded() -> None:
    noise = "".join(f"# {'x' * 10_000}\n" for _ in range(1000))
    (leaf,) = leaves(ktap.parse_text(f"1..1\n{noise}not ok 1 a\n"))
    line = ktap_document.MESSAGE_LINE_CHARS + 1
    assert len(leaf.message) <= line * (ktap_document.MESSAGE_LINES + 1)


def test_nothing_is_an_error() -> None:
    assert ktap.parse([]).status is Status.ERROR
    assert ktap.parse_text("Segmentation fault\n").status is Status.ERROR


@pytest.mark.parametrize("comment", ["#ok", "# ok 1 case", "#ok 1", " #ok"])
def test_a_comment_left_of_an_indented_document_is_no_result(comment: str) -> None:
    tree = ktap.parse_text(f"  TAP version 13\n{comment}\n")
    assert tree.status is Status.ERROR
    assert not passes(tree)


@pytest.mark.parametrize("end", ["", "1..0 # SKIP nothing here\n"])
def test_no_result_is_lost_where_a_document_begins_further_left(end: str) -> None:
    tree = ktap.parse_text(f"  TAP version 13\n  not ok 1 x\nTAP version 13\n{end}")
    assert tree.status.bad
    assert "x" in {leaf.name for leaf in leaves(tree)}


def test_what_is_nested_in_a_third_result_of_a_number_is_kept() -> None:
    text = "TAP version 13\nok 1 a\nok 1 a\n  not ok 1 x\nok 1 a\n"
    tree = ktap.parse_text(text)
    assert [leaf.name for leaf in leaves(tree) if leaf.status is Status.FAIL] == ["x"]


def test_a_subtest_that_is_but_a_heading_tested_nothing() -> None:
    """KUnit prints it for a parametrised case without parameters."""
    text = "TAP version 14\n1..1\n  # Subtest: s\n  1..1\n    # Subtest: c\n  ok 1 - c\nok 1 - s\n"
    assert [leaf.status for leaf in leaves(ktap.parse_text(text))] == [Status.SKIP]
    cut = ktap.parse_text(text.partition("  ok 1")[0])
    assert [leaf.name for leaf in leaves(cut)] == ["c"]
    assert cut.status is Status.CRASH


YAML = ["ok 7 - inner", "not ok 8 - inner", "1..9", "TAP version 14", "Bail out! no", "", "a: b"]


@pytest.mark.parametrize("lead", ["", "    ", "# "])
@pytest.mark.parametrize("status", [Status.PASS, Status.FAIL])
def test_a_yaml_block_belongs_to_its_result_whatever_its_lines_look_like(
    lead: str, status: Status
) -> None:
    word = "ok" if status is Status.PASS else "not ok"
    block = ["---", *YAML, "..."]
    body = ["1..2", f"{word} 1 - a", *(f"  {line}" for line in block), "ok 2 - b"]
    lines = [f"{lead}{line}" for line in body]
    if lead:
        lines = ["TAP version 14", "1..1", *lines, "ok 1 - outer"]
    root = ktap.parse(lines)
    assert root.status is status
    assert {leaf.name: leaf.status for leaf in leaves(root)} == {"a": status, "b": Status.PASS}
    (explained,) = [leaf for leaf in leaves(root) if leaf.name == "a"]
    assert explained.message.splitlines() == list(filter(None, YAML))


@pytest.mark.parametrize(
    "lines",
    [
        ["ok 1 - a", "  ---", "  not ok 1 - inner", "ok 2 - b"],  # no end
        ["ok 1 - a", "  ---", "  not ok 1 - inner", "    ...", "ok 2 - b"],  # another's end
        ["ok 1 - a", "noise", "  ---", "  not ok 1 - inner", "  ...", "ok 2 - b"],
        ["ok 1 - a", "  ---", "not ok 2 - b", "  ..."],
        ["ok 1 - a", "  ---", "  not ok 1 - inner"],
    ],
)
def test_what_is_no_yaml_block_hides_no_failure(lines: list[str]) -> None:
    root = ktap.parse(["TAP version 14", "1..2", *lines])
    assert Status.FAIL in {node.status for node in walk(root)}


def test_a_yaml_block_without_bounds_is_none() -> None:
    long = ["ok 1 - a", "  ---", *["  x" * 300] * 2000, "  not ok 1 - b", "  ...", "ok 2 - c"]
    assert Status.FAIL in {node.status for node in walk(ktap.parse(["1..2", *long]))}


@pytest.mark.parametrize(
    ("line", "name", "status", "message"),
    [
        ("ok 1 - a # skip-it", "a", Status.SKIP, "it"),
        ("ok 1 - a # Skipping, no device", "a", Status.SKIP, "no device"),
        ("ok 1 - case #2 # SKIP none", "case", Status.SKIP, "none"),
        ("ok 1 - b \\\\# SKIP why", "b \\\\", Status.SKIP, "why"),
        ("ok 1 - c \\# SKIP why", "c # SKIP why", Status.PASS, ""),
        ("ok 1 - d # skips=4", "d", Status.PASS, "skips=4"),
        ("not ok 1 - case #2 # SKIP none", "case", Status.FAIL, "2 # SKIP none"),
        ("not ok 1 - a # skip-it", "a", Status.FAIL, "skip-it"),
    ],
)
def test_a_skip_however_it_is_written_is_no_pass(
    line: str, name: str, status: Status, message: str
) -> None:
    (leaf,) = leaves(ktap.parse(["1..1", line]))
    assert (leaf.name, leaf.status, leaf.message) == (name, status, message)


@pytest.mark.parametrize("words", ["Bail out!", "bail out!", "BAIL OUT!"])
def test_a_program_that_bails_out_in_any_case_did_not_pass(words: str) -> None:
    assert statuses(f"TAP version 14\nok 1 - a\n{words} gone\n") == {
        "a": Status.PASS,
        "Bail out!": Status.ERROR,
    }


def test_endless_nesting_is_an_error_and_ends() -> None:
    text = "".join(f"{' ' * depth}ok 1 x\n" for depth in range(3000))
    tree = ktap.parse_text(text)
    assert "nesting" in {leaf.name for leaf in leaves(tree)}
    assert json.dumps(plain(tree))


@given(texts, st.booleans())
def test_never_raises_and_root_is_the_worst(text: str, complete: bool) -> None:
    tree = ktap.parse_text(text, complete=complete)
    for node in walk(tree):
        if node.children:
            assert node.status == ktap_document.worst(
                [node.status, *(child.status for child in node.children)]
            )
        assert node is tree or node.name


@given(texts)
def test_no_more_passes_than_ok_lines(text: str) -> None:
    claims = text.replace("\x00", "").count("ok")
    assert sum(passes(ktap.parse_text(text)).values()) <= claims


@given(texts, st.data())
def test_truncation_makes_no_pass(text: str, data: st.DataObject) -> None:
    cut = text[: data.draw(st.integers(0, len(text)))]
    before = passes(ktap.parse_text(text))
    after = passes(ktap.parse_text(cut, complete=False))
    # A name of the uncut document may be that of a parent in it, so compare by what was claimed.
    everywhere = Counter(n.name for n in walk(ktap.parse_text(text)) if not n.status.bad)
    assert not after - (before | everywhere)


@given(documents, documents)
def test_nothing_that_follows_mends_a_failure(text: str, rest: str) -> None:
    failed = any(leaf.status is Status.FAIL for leaf in leaves(ktap.parse_text(f"{text}\n")))
    assert not failed or ktap.parse_text(f"{text}\n{rest}").status.bad


@given(st.lists(st.sampled_from(["ok", "not ok"]), min_size=1, max_size=8), st.data())
def test_truncating_a_planned_document_never_passes(oks: list[str], data: st.DataObject) -> None:
    text = f"TAP version 13\n1..{len(oks)}\n"
    text += "".join(f"{ok} {number} case\n" for number, ok in enumerate(oks, 1))
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    assert ktap.parse_text(cut, complete=False).status is not Status.PASS


@given(st.lists(st.sampled_from(["noise", "# noise", "[  1.5] ok 9 x", "okay", "# ok 3 x"])))
def test_unknown_lines_change_no_status(noise: list[str]) -> None:
    text = "\n".join(["1..2", "ok 1 a", *noise, "not ok 2 b", *noise, ""])
    assert statuses(text) == {"a": Status.PASS, "b": Status.FAIL}


def test_lines_that_a_forked_process_repeats_are_no_error() -> None:
    whole = {"a": Status.PASS, "b": Status.FAIL}
    assert statuses("1..2\nok 1 a\nok 1 a\nnot ok 2 b\n") == whole
    head = "TAP version 13\n1..2\n# by chance\nok 1 a\n"
    assert statuses(head + head + head + "not ok 2 b\n") == whole
    assert statuses("TAP version 13\n1..2\n" * 3 + "ok 1 a\nnot ok 2 b\n") == whole


def test_other_repetitions_are_errors() -> None:
    # Without a plan, and where a test is missing, nobody knows what the second line was to be.
    assert ktap.parse_text("ok 1 a\nok 1 a\n").status is Status.ERROR
    assert ktap.parse_text("1..3\nok 1 a\nok 1 a\nok 2 b\n").status is Status.CRASH
    assert ktap.parse_text("1..2\nok 1 a\nok 1 z\nok 2 b\n").status is Status.ERROR
    assert ktap.parse_text("1..2\nok 1 a\nnot ok 1 a\nok 2 b\n").status is Status.FAIL
    assert ktap.parse_text("1..1\n" + "ok 1 a\n" * 9).status is Status.ERROR
    # Another plan, or another result, is another document.
    assert ktap.parse_text("1..3\nok 1 a\n1..2\nok 1 a\nok 2 b\n").status is Status.CRASH
    assert ktap.parse_text("1..2\nok 1 z\n1..2\nok 1 a\nok 2 b\n").status is Status.CRASH


def test_looping_program_is_one_error() -> None:
    tree = ktap.parse_text("ok 1 x\n" * 2000)
    assert [(node.status, node.message) for node in tree.children] == [
        (Status.PASS, ""),
        (Status.ERROR, "number 1 came 2000 times"),
    ]


def test_result_behind_other_text_counts_when_it_is_due() -> None:
    text = "1..3\nDiff too high: 51..not ok 1 a\nDiff fine: 1..ok 2 b\nok 3 c\n"
    assert statuses(text) == {"a": Status.FAIL, "b": Status.PASS, "c": Status.PASS}
    assert "Diff too high" in ktap.parse_text(text).children[0].message
    # Not due, not planned, or prose.
    for line in ("x..ok 2 b", "expected ok 1 b", "x..ok 1", "# x..ok 1 b"):
        assert statuses(f"1..1\n{line}\n") == {"1": Status.CRASH}
    assert ktap.parse_text("x..ok 1 b\n").status is Status.ERROR


@pytest.mark.parametrize("line", ["x..not ok 2 b", "Testingnot ok 2 b", "not  ok 2 b"])
def test_a_failure_counts_without_a_plan_however_it_was_printed(line: str) -> None:
    assert statuses(f"TAP version 13\nok 1 a\n{line}\n") == {"a": Status.PASS, "b": Status.FAIL}
    # A pass does not: anything may end in it.
    passed = f"TAP version 13\nok 1 a\n{line.replace('not', 'and')}\n"
    assert statuses(passed) == {"a": Status.PASS}


def test_a_plan_larger_than_any_is_a_plan() -> None:
    for total in ("10000000000", "9" * 10_000):
        assert statuses(f"1..{total}\nok 1 a\n")["a"] is Status.PASS
        assert ktap.parse_text(f"1..{total}\nok 1 a\n").status is Status.CRASH


def test_subtest_without_tests_is_no_pass() -> None:
    text = "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: empty\nok 1 empty\n"
    assert statuses(text) == {"empty": Status.SKIP}
    assert statuses(text.replace("ok 1", "not ok 1")) == {"empty": Status.FAIL}
    # A program that the kselftest runner ran prints a header, and passes by its exit status.
    assert statuses("1..1\n# TAP version 13\nok 1 a\n") == {"a": Status.PASS}


def test_line_too_long_is_not_believed() -> None:
    assert statuses(f"1..1\nok 1 {'a' * ktap.MAX_LINE} # SKIP\n")
    assert ktap.parse_text(f"1..1\nok 1 {'a' * ktap.MAX_LINE} # SKIP\n").status is Status.CRASH


FLOODS = {
    "one name": "ok 1 x\n",
    "unnumbered": "ok - x\n",
    "failures": "not ok - x\n",
    "gaps": "ok 3 x\nok 1 x\n",
    "plans": "1..1\n",
    "documents": "TAP version 13\n1..2\nok 1 x\n",
    "bail": "Bail out! x\n",
    "nested": "1..1\n  1..1\n  ok 1 y\nok 1 x\n",
    "deeper": "1..1\n" + "".join(f"{' ' * depth}1..1\n" for depth in range(1, 40)),
    "comments": "# x\n",
    "glued": "x..ok 2 x",
    "spaces": "# Subtest: a" + " " * 200 + "b" + " RUN" + " " * 200,
    "hashes": "ok 1 a # # # #SKIP" + "#" * 50,
    "escapes": "\x1b[",
    "returns": "ok 1 x\r",
    "blocks": "ok 1 x\n  ---\n  ok 2 y\n  ...\n",
    "blocks without end": "ok 1 x\n  ---\n  ok 2 y\n",
    "one block without end": "  ok 2 y\n    ---\n",
}


@pytest.mark.parametrize("piece", FLOODS.values(), ids=FLOODS.keys())
def test_time_is_linear(piece: str) -> None:
    assert_linear(lambda size: ktap.parse_text(piece * (size // len(piece))), 1 << 17)


@pytest.mark.parametrize("piece", FLOODS.values(), ids=FLOODS.keys())
def test_tree_of_a_flood_is_bounded(piece: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ktap, "MAX_REPORTS", 200)
    tree = ktap.parse_text(piece * 1000)
    assert sum(1 for _ in walk(tree)) < 500


WORDS = {
    Status.PASS: ("ok", ""), Status.FAIL: ("not ok", ""), Status.SKIP: ("ok", " # SKIP"),
    Status.XFAIL: ("ok", " # XFAIL"), Status.XPASS: ("ok", " # XPASS"),
    Status.TIMEOUT: ("not ok", " # TIMEOUT"), Status.ERROR: ("not ok", " # ERROR"),
}  # fmt: skip


def write(nodes: tuple[TestNode, ...], lead: str = "") -> str:
    """Write a tree that has no gaps as KTAP."""
    text = f"{lead}KTAP version 1\n{lead}1..{len(nodes)}\n"
    for number, node in enumerate(nodes, 1):
        if node.children:
            text += write(node.children, lead + "  ")
        ok, directive = WORDS[node.status]
        text += f"{lead}{ok} {number} {node.name}{directive}\n"
    return text


names = st.text("abcz._ ", min_size=1).map(str.strip).filter(bool)
leaf_nodes = st.builds(TestNode, names, st.sampled_from(list(WORDS)))


def parent(name: str, children: list[TestNode]) -> TestNode:
    status = ktap_document.worst(child.status for child in children)
    assert status is not None
    return TestNode(name, status, "", tuple(children))


trees = st.recursive(
    leaf_nodes,
    lambda inner: st.builds(parent, names, st.lists(inner, min_size=1, max_size=4)),
    max_leaves=12,
)


@given(st.lists(trees, min_size=1, max_size=5).map(tuple))
def test_round_trip(nodes: tuple[TestNode, ...]) -> None:
    assert ktap.parse_text(write(nodes)).children == nodes
