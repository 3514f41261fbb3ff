from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.core import paths
from toolkit.core.errors import UserError
from toolkit.matrix import cells, values

PROJECT = Path(__file__).parents[3]


def check(tmp_path: Path, text: str) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    values.check(cells.load(file), paths.resolve(PROJECT))


def test_what_there_is_passes(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/Makefile").write_text("include ../lib.mk\n")
    (tmp_path / "x.config").write_text("CONFIG_FOO=y\n")
    check(
        tmp_path,
        f"axes:\n  series: [v4, io-bus-order/v1, git:{tmp_path}@a..b]\n"
        "  kernel: [debian:6.12, auto:/srv/linux, 'git:/srv/linux@v6.12']\n"
        f"  profile: [none, debug+preempt-rt, {tmp_path}/x.config]\n"
        "  toolchain: [gcc, clang-19]\n  config: [tiny, defconfig]\n  image: [debian]\n"
        f"  suite: [kvm, upstream:timers, upstream-kvm, 'kunit:list*', {tmp_path}/own]\n",
    )


@pytest.mark.parametrize(
    ("axis", "value", "what", "hint"),
    [
        ("series", "v44", "there is no series 'v44'", "v4"),
        ("series", "-", "reads no series from standard input", "name a file"),
        ("kernel", "debain:6.12", "'debain:6.12' names no kernel source", "debian:"),
        ("kernel", "none", "'none' names no kernel source", ""),
        ("suite", "none", "there is no suite 'none'", "there is: doorbell"),
        ("config", "defconfg", "there is no configuration", "did you mean defconfig?"),
        ("profile", "debug+debgu", "there is no profile 'debgu'", "did you mean debug?"),
        ("toolchain", "tcc", "'tcc' is no toolchain", "gcc"),
        ("arch", "m68k", "kernels for 'm68k' are not built and booted here", "x86_64"),
        ("image", "minimla", "there is no image 'minimla'", "did you mean 'minimal'?"),
        ("suite", "kwm", "there is no suite 'kwm'", "did you mean kvm?"),
        ("suite", "./nowhere", "does not exist", "a suite is a folder"),
    ],
)
def test_what_there_is_not_is_named_with_its_line(
    tmp_path: Path, axis: str, value: str, what: str, hint: str
) -> None:
    others = "" if axis == "series" else "  series: [v4]\n"
    with pytest.raises(UserError) as caught:
        check(tmp_path, f"axes:\n{others}  {axis}:\n    - {value!r}\n")
    assert caught.value.what.startswith(f"{tmp_path}/m.yaml:{4 if others else 3}: ")
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_base_has_no_suites_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"m.yaml:1: the unpatched debian:6.12 has no suite"):
        check(tmp_path, "axes: {series: [none], kernel: ['debian:6.12']}")


def test_a_base_has_no_baseline(tmp_path: Path) -> None:
    text = "axes: {series: [none, v4], suite: [kvm]}\nsettings:\n  - baseline: true"
    with pytest.raises(UserError, match=r"the unpatched debian:6\.12 has no baseline"):
        check(tmp_path, text)
