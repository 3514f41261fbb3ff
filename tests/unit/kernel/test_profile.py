from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core.errors import UserError
from toolkit.kernel import profile


def test_the_debug_profile_is_carried() -> None:
    assert "debug" in profile.names()
    options = profile.load("debug").options
    for option in ("KASAN", "PROVE_LOCKING", "PROVE_RCU", "DEBUG_ATOMIC_SLEEP", "DEBUG_KMEMLEAK"):
        assert options[f"CONFIG_{option}"] == "y"
    assert options["CONFIG_FAILSLAB"] == options["CONFIG_FAIL_PAGE_ALLOC"] == "y"


def test_faults_need_no_slow_debugging() -> None:
    faults, debug = profile.load("faults").options, profile.load("debug").options
    assert {"CONFIG_FAILSLAB", "CONFIG_FAIL_PAGE_ALLOC"} < set(faults)
    assert not [name for name in faults if "KASAN" in name or "PROVE" in name]
    injection = {name for name in debug if "FAULT" in name or "FAIL" in name}
    assert injection <= set(faults)


def test_how_the_kernel_preempts_itself_is_one_choice() -> None:
    assert profile.load("preempt-rt").options["CONFIG_PREEMPT_RT"] == "y"
    none = profile.load("preempt-none").options
    assert none == {"CONFIG_PREEMPT_NONE": "y", "CONFIG_PREEMPT_DYNAMIC": "n"}


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.config"
    mine.write_text("CONFIG_KCSAN=y\n# CONFIG_KASAN is not set\n")
    found = profile.load(str(mine))
    assert found.options == {"CONFIG_KCSAN": "y", "CONFIG_KASAN": "n"}
    assert str(mine) in found.origin


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("debgu", "did you mean debug"), ("zzz", "there is: coverage"), ("", "there is: coverage")],
)
def test_a_name_that_is_not_carried(wanted: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        profile.load(wanted)
    assert said in caught.value.hint


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the profile"):
        profile.load(str(tmp_path / "none"))
    (tmp_path / "binary.config").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="cannot read the profile"):
        profile.load(str(tmp_path / "binary.config"))
    (tmp_path / "odd.config").write_text("KASAN: yes\n")
    with pytest.raises(UserError, match="not a configuration option"):
        profile.load(str(tmp_path / "odd.config"))
