"""What a series changed, on real kernels: which patch, which case."""

from __future__ import annotations

from pathlib import Path

from tests.vm.conftest import DATA, Toolkit

IOCTL = ("--suite", "selfcheck", "--test", "ioctl_test")
CASE = "selfcheck/ioctl_test/global.assign"


def test_each_patch_that_breaks_a_case_is_named(toolkit: Toolkit, seeded: Path) -> None:
    series = str(DATA / "series/breaks-twice")
    ended = toolkit.run("build-and-test", "--patch", series, "--each", *IOCTL, root=seeded)
    assert ended.code == 1, str(ended)
    steps = ended.result["steps"]
    assert [step["state"] for step in steps] == ["tested", "same", *["tested"] * 4], str(ended)
    changed = {
        step["patch"]: [change["id"] for change in step["changes"] if change["after"] == "fail"]
        for step in steps
        if step["changes"]
    }
    assert changed == {3: [CASE], 5: [CASE]}, str(ended)
    assert f"BROKE {CASE}: pass -> fail, in 6 of 6 runs" in ended.out
    assert f"BROKE {CASE}: fail -> fail, in another way, in 6 of 6 runs" in ended.out
    (point,) = (p for p in ended.result["comparison"]["leaves"] if p["id"] == CASE)
    assert point["standing"] == "regression"
