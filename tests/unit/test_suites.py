from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import suites
from toolkit.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("kvm", "net", "lib"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Makefile").write_text("all:\n")
    (tmp_path / "kvm/config").write_text("CONFIG_KVM=m\n")
    (tmp_path / "kvm/settings").write_text("timeout=90\n")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_reads_config_and_settings(folder: Path) -> None:
    suite = suites.find(folder, "kvm")
    assert suite.timeout == 90
    assert suite.fragment.options == {"CONFIG_KVM": "m"}
    assert suite.fragment.origin == "kselftests/kvm/config"


def test_a_suite_without_them_has_the_kernels_timeout(folder: Path) -> None:
    suite = suites.find(folder, "net")
    assert suite.timeout == 45
    assert suite.fragment.options == {}


def test_an_unknown_suite_names_the_nearest_or_all(folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        suites.find(folder, "kvn")
    assert caught.value.hint == "did you mean kvm?"
    with pytest.raises(UserError) as caught:
        suites.find(folder, "lib")
    assert "kvm, net" in caught.value.hint


def test_a_timeout_of_zero_is_long_and_nonsense_is_refused(folder: Path) -> None:
    (folder / "kvm/settings").write_text("timeout=0\n")
    assert suites.find(folder, "kvm").timeout == 3600
    (folder / "kvm/settings").write_text("# slow\ntimeout=soon\n")
    with pytest.raises(UserError, match=r"settings:2: timeout is 'soon'"):
        suites.find(folder, "kvm")


def test_a_source_shared_by_a_link_counts_as_the_suites_own(folder: Path) -> None:
    (folder / "kvm/a_test.c").write_text("int a;\n")
    (folder / "net/shared_test.c").symlink_to("../kvm/a_test.c")
    before = suites._content(folder / "net")
    (folder / "kvm/a_test.c").write_text("int b;\n")
    after = suites._content(folder / "net")
    assert before.keys() == after.keys() == {"Makefile", "shared_test.c"}
    assert before["shared_test.c"] != after["shared_test.c"]
