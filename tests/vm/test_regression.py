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


def test_a_saved_build_is_compared_with_its_base(
    toolkit: Toolkit, seeded: Path, tmp_path: Path
) -> None:
    series, saved = str(DATA / "series/breaks-twice"), tmp_path / "saved"
    what = ("--patch", series, "--suite", "selfcheck", "--baseline")
    built = toolkit.run("build", *what, "--save", str(saved), root=seeded)
    assert built.code == 0, str(built)
    moved = saved.rename(tmp_path / "moved")
    how = ("--baseline", "--repeat", "2", "--test", "ioctl_test")
    ended = toolkit.run("test", "--from", str(moved), *how, root=seeded)
    assert ended.code == 1, str(ended)
    (point,) = (p for p in ended.result["comparison"]["leaves"] if p["id"] == CASE)
    assert point["standing"] == "regression", str(ended)
    stages = {stage["name"] for stage in ended.result["stages"]}
    assert not {"fetch", "patch", "configure", "build"} & stages, "nothing is built"
