from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.formats import gcov_json

# What gcov 12 says of demo.c and demo.h, first without counters and then after a run.
GOLDEN = (Path(__file__).parents[2] / "data/gcov/demo.jsonl").read_bytes()
BEFORE, AFTER = GOLDEN.splitlines()


def a_line(number: int, count: int) -> dict[str, object]:
    return {"line_number": number, "count": count, "branches": [], "unexecuted_block": False}


def a_document(name: str, *lines: dict[str, object]) -> bytes:
    file = {"file": name, "lines": lines, "functions": []}
    return json.dumps({"current_working_directory": "/w/out", "files": [file]}).encode()


def test_without_counters_every_line_with_code_ran_never() -> None:
    found = gcov_json.read(BEFORE, "/w/src")
    assert found["virt/kvm/demo.c"].lines == {3: 0, 8: 0, 9: 0, 10: 0, 12: 0}
    assert found["virt/kvm/demo.h"].lines == {5: 0}


def test_a_run_counts_and_a_header_counts_with_who_includes_it() -> None:
    found = gcov_json.read(AFTER, "/w/src")
    assert found["virt/kvm/demo.c"].lines == {3: 1, 8: 4, 9: 3, 10: 1, 12: 1}
    assert found["virt/kvm/demo.c"].functions == {"main": (3, 13)}
    assert found["virt/kvm/demo.h"].lines == {5: 3}


def test_objects_and_copies_of_a_line_add_up() -> None:
    assert gcov_json.read(GOLDEN, "/w/src") == gcov_json.read(AFTER, "/w/src")
    text = a_document("/w/src/a.h", a_line(7, 2), a_line(7, 3), a_line(8, 0))
    assert gcov_json.read(text + b"\n\n" + text, "/w/src")["a.h"].lines == {7: 10, 8: 0}


@pytest.mark.parametrize("name", ["/w/src/arch/x86/kvm/../../../a.c", "../src/a.c", "/w/src/a.c"])
def test_a_file_has_one_name_however_the_compiler_got_there(name: str) -> None:
    assert set(gcov_json.read(a_document(name, a_line(1, 1)), "/w/src")) == {"a.c"}


@pytest.mark.parametrize("name", ["/usr/include/a.h", "a.c", "/w/src2/a.c", "/w/src/../a.c"])
def test_files_outside_the_tree_are_left_out(name: str) -> None:
    assert gcov_json.read(a_document(name, a_line(1, 1)), "/w/src") == {}


@pytest.mark.parametrize(
    "text",
    [
        b"gcov: cannot",
        b"[]",
        b"{}",
        b'{"current_working_directory": "/w", "files": [3]}',
        b'{"current_working_directory": "/w", "files": null}',
        a_document("/w/src/a.c", {"line_number": "1", "count": 1}),
        a_document("/w/src/a.c", {"line_number": 1, "count": None}),
        b"\xff",
    ],
)
def test_what_gcov_never_wrote_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        gcov_json.read(text, "/w/src")


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["files", "file", "lines", "functions", "current_working_directory"]
                ),
                inner,
                max_size=5,
            )
        ),
    )
)
def test_any_document_gives_counts_or_a_value_error(document: object) -> None:
    try:
        found = gcov_json.read(json.dumps(document).encode(), "")
    except ValueError:
        return
    assert all(isinstance(counts, gcov_json.FileCounts) for counts in found.values())


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1 << 64)), max_size=30))
def test_no_count_is_lost(rows: list[tuple[int, int]]) -> None:
    text = a_document("/w/src/a.c", *(a_line(*row) for row in rows))
    found = gcov_json.read(text, "/w/src")["a.c"].lines
    assert sum(found.values()) == sum(count for _, count in rows)
    assert set(found) == {number for number, _ in rows}
