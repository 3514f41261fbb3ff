from __future__ import annotations

import pytest

from tests import golden_matrix
from tests.a_matrix import a_matrix
from toolkit.report.matrix import view


@pytest.mark.parametrize("form", golden_matrix.FORMS)
def test_the_form_is_as_it_was_last_looked_at(form: str) -> None:
    assert golden_matrix.FORMS[form](a_matrix()) == (golden_matrix.FOLDER / form).read_bytes(), (
        "python -m tests.golden_matrix writes it again"
    )


def test_how_a_matrix_ended_in_words() -> None:
    assert view.headline([0, 0, 1, 3]) == "1 failed, 1 not judged, since a host failed, 2 passed"
    shown = view.of(a_matrix())
    assert [entry.result.name for entry in shown.unjudged] == ["v4-new-net"]
    assert "base-new-kvm" not in [entry.result.name for entry in shown.judged_bad]
    assert (
        view.in_words(a_matrix().cells[2]) == "INFRASTRUCTURE: the toolkit was killed by signal 9"
    )
