from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.workflow import doctor
from toolkit.workflow.doctor import Program


def test_an_optional_program_that_is_absent_is_told_and_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = (
        Program("/none/needed", "a-package", "it is needed"),
        Program("/none/extra", "b-package", "it would be nice", optional=True),
    )
    monkeypatch.setattr(doctor, "programs", lambda: listed)
    findings = [(each.good, each.text) for each in doctor.examine_host(tmp_path, 1 << 40)]
    assert findings[0] == (False, "/none/needed: missing (it is needed)")
    good, text = findings[1]
    assert good is None
    assert "optional (it would be nice)" in text
    assert "b-package" in text
    assert findings[2] == (False, "install: apt-get install a-package")


def test_the_list_tells_the_optional_from_the_needed() -> None:
    optional = {program.name: program.package for program in doctor.programs() if program.optional}
    assert optional == {"spatch": "coccinelle"}
    assert all(not program.name.startswith("?") for program in doctor.programs())
