from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.errors import UserError
from toolkit.core.model.coverage import Coverage, HunkRun, LineRun, PatchRun
from toolkit.testing import coverage
from toolkit.testing.coverage_merge import Part, merge

SUBJECTS = ("KVM: A bus", "arm64: Its own file")
TEXTS = ("@@ -0,0 +1,3 @@", "+first();", "+/* none */", "+second();")


def a_hunk(
    *ran: Sequence[int], patch: int = 1, file: str = "virt/kvm/bus.c", why: str = ""
) -> HunkRun:
    """Return a hunk with two lines of code; ``ran`` are the programs that ran each of them."""
    code = iter(ran)
    lines = [LineRun(TEXTS[0])]
    for number, text in enumerate(TEXTS[1:], 1):
        if "(" not in text:
            lines.append(LineRun(text))
            continue
        programs = tuple(next(code))
        lines.append(LineRun(text, number, programs, "" if programs else why))
    return HunkRun(patch, file, tuple(lines))


def a_part(label: str, *hunks: HunkRun, programs: Sequence[str] = ("a", "b")) -> Part:
    of_it = Coverage(tuple(programs), tuple(coverage.totals(SUBJECTS, hunks)), hunks)
    return Part(label, "bus/v1", SUBJECTS, of_it)


def test_a_line_ran_where_any_of_the_runs_ran_it() -> None:
    x86 = a_part("x86_64", a_hunk([0], [], why="arm64 alone calls it"))
    arm = a_part("arm64", a_hunk([], [1]))
    merged = merge([x86, arm])
    assert merged.programs == ("a on x86_64", "b on x86_64", "a on arm64", "b on arm64")
    _, first, _, second = merged.hunks[0].lines
    assert (first.ran, second.ran, second.explained) == ((0,), (3,), "")
    assert merged.patches == (PatchRun(1, SUBJECTS[0], 2, 2, 0),)


def test_what_no_run_ran_keeps_the_explanation_of_any() -> None:
    x86 = a_part("x86_64", a_hunk([0], []))
    arm = a_part("arm64", a_hunk([0], [], why="s390 alone calls it"))
    merged = merge([x86, arm])
    assert merged.hunks[0].lines[3].explained == "s390 alone calls it"
    assert merged.patches == (PatchRun(1, SUBJECTS[0], 2, 1, 1),)


def test_a_file_of_one_architecture_is_no_longer_missing() -> None:
    x86 = a_part("x86_64", a_hunk([0], [0]))
    missing = ("arch/arm64/kvm/own.c", "arch/s390/kvm/own.c")
    x86 = dataclasses.replace(x86, coverage=dataclasses.replace(x86.coverage, unbuilt=missing))
    own = a_hunk([1], [1], patch=2, file="arch/arm64/kvm/own.c")
    arm = a_part("arm64", a_hunk([0], [0]), own)
    arm = dataclasses.replace(
        arm, coverage=dataclasses.replace(arm.coverage, unbuilt=missing[1:], lost=("a: hung",))
    )
    merged = merge([arm, x86])
    assert merged.unbuilt == ("arch/s390/kvm/own.c",)
    assert merged.lost == ("arm64: a: hung",)
    assert [row.lines for row in merged.patches] == [2, 2]


def test_another_series_is_refused() -> None:
    one = a_part("x86_64", a_hunk([0], [0]))
    other = dataclasses.replace(a_part("arm64", a_hunk([0], [0])), series="bus/v2")
    with pytest.raises(UserError, match=r"x86_64 is a run of bus/v1 .* arm64 one of bus/v2"):
        merge([one, other])


def test_a_series_that_was_edited_in_between_is_refused() -> None:
    edited = a_hunk([0], [0])
    lines = (*edited.lines[:-1], dataclasses.replace(edited.lines[-1], text="+third();"))
    other = a_part("arm64", dataclasses.replace(edited, lines=lines))
    with pytest.raises(UserError, match=r"arm64: patch 1 is another one there, in virt/kvm/bus.c"):
        merge([a_part("x86_64", a_hunk([0], [0])), other])


def test_a_result_that_had_to_leave_lines_out_is_refused() -> None:
    cut = a_part("arm64", a_hunk([0], [0]))
    cut = dataclasses.replace(cut, coverage=dataclasses.replace(cut.coverage, hunks=()))
    with pytest.raises(UserError, match="arm64: its result does not have all lines"):
        merge([a_part("x86_64", a_hunk([0], [0])), cut])


programs_of_a_line = st.lists(st.integers(0, 1), unique=True, max_size=2)
hunks = st.builds(
    lambda first, second, patch, file: a_hunk(first, second, patch=patch, file=file),
    programs_of_a_line,
    programs_of_a_line,
    st.integers(1, 2),
    st.sampled_from(["a.c", "b.c"]),
)
parts = st.lists(
    st.lists(hunks, max_size=4, unique_by=lambda hunk: (hunk.patch, hunk.file)),
    min_size=1,
    max_size=4,
)


def lines_run(of_it: Coverage) -> dict[tuple[int, str, str], set[str]]:
    """Return the programs that ran each line with code."""
    return {
        (hunk.patch, hunk.file, line.text): {of_it.programs[index] for index in line.ran}
        for hunk in of_it.hunks
        for line in hunk.lines
        if line.number
    }


@given(parts)
def test_a_merge_has_each_line_with_all_who_ran_it(given_hunks: list[list[HunkRun]]) -> None:
    given_parts = [a_part(f"run{n}", *each) for n, each in enumerate(given_hunks)]
    wanted: dict[tuple[int, str, str], set[str]] = {}
    for part in given_parts:
        for line, names in lines_run(part.coverage).items():
            wanted.setdefault(line, set()).update(f"{name} on {part.label}" for name in names)
    merged = merge(given_parts)
    assert lines_run(merged) == wanted
    assert lines_run(merge(given_parts[::-1])) == wanted
    assert [hunk.patch for hunk in merged.hunks] == sorted(hunk.patch for hunk in merged.hunks)
    assert sum(row.ran for row in merged.patches) == sum(map(bool, wanted.values()))
