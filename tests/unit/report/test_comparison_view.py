from __future__ import annotations

import io
from pathlib import Path

from tests import a_result
from toolkit.core.model.comparison import LeafClass
from toolkit.core.model.testing import Status
from toolkit.report import (
    comparison_view,
    html_page,
    markdown,
    terminal_summary,
    view,
    wording,
)

RESULT = a_result.patch_by_patch()


def test_classes_are_counted_the_worst_first() -> None:
    assert RESULT.comparison is not None
    seen = comparison_view.of_comparison(RESULT.comparison)
    assert seen.tally == "2 regressions, 1 flaky, 1 fixed, 51 unchanged, 5 not testable here"
    assert [row.leaf_class for row in seen.rows] == [
        LeafClass.REGRESSION,
        LeafClass.REGRESSION,
        LeafClass.FLAKY,
        LeafClass.FIXED,
    ]
    assert seen.rows[0].change == "pass -> fail, in 6 of 6 runs, before in 0 of 6 (p = 0.0011)"


def test_the_matrix_has_what_broke_by_itself_and_the_rest_together() -> None:
    rows = comparison_view.matrix(RESULT.steps)
    assert [row.name for row in rows] == [
        "kvm/iosignalfd_args_test/case_03",
        "kvm/iosignalfd_match_test/case_01",
        "kvm/iosignalfd_limit_test/case_02",
        "kvm/iosignalfd_limit_test: 11 cases",
    ]
    fail, good, skip = Status.FAIL, Status.PASS, Status.SKIP
    assert rows[0].statuses == (good, fail, fail, fail)
    assert rows[0].changed == (False, True, True, False)
    assert rows[2].statuses == (fail, fail, good, good)
    assert rows[3].statuses == (skip, skip, good, good)


def test_a_patch_that_breaks_in_another_way_is_named_as_well() -> None:
    assert [
        [change.id[-7:] for change in comparison_view.broken(step)] for step in RESULT.steps
    ] == [
        [],
        ["case_03"],
        ["case_03", "case_01"],
        [],
    ]
    assert comparison_view.how_broken(RESULT.steps[2].changes[0]).startswith(
        "fail -> fail, in another way,"
    )


def test_every_form_names_the_patch_and_the_leaf(tmp_path: Path) -> None:
    out = io.StringIO()
    terminal_summary.summary(RESULT, tmp_path, out)
    shown = out.getvalue()
    assert "BROKE kvm/iosignalfd_args_test/case_03: pass -> fail, in 6 of 6" in shown
    assert "the same kernel as before, not run again" in shown
    assert "flaky: kvm/iosignalfd_stress_test/case_09: pass -> xfail, in 3 of 48" in shown
    assert "warning: virt/kvm/kvm_main.c: unused variable" in shown
    seen = view.of(RESULT)
    for text in (markdown.render(seen).decode(), html_page.render(seen).decode()):
        assert "2 regressions, 1 flaky, 1 fixed" in text
        assert "kvm/iosignalfd_args_test/case_03" in text
        assert "11 skip" in text


def test_a_leaf_of_a_patch_is_repeated_with_the_whole_run() -> None:
    words = "toolkit build-and-test --patch v4"
    assert wording.repeat(RESULT, "patch-3/build") == words
    assert wording.repeat(RESULT, "patch-3/kvm/a_test/x") == words
    assert wording.repeat(RESULT, "kvm/a_test/x") == f"{words} --suite kvm --test a_test"
