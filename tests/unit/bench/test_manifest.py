from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.bench_samples import SUITES
from toolkit.bench import manifest
from toolkit.core.errors import UserError


def written(folder: Path, text: str) -> Path:
    (folder / "mine").mkdir()
    (folder / "mine/Makefile").touch()
    (folder / "mine/bench.yaml").write_text(text)
    return folder


def test_a_program_is_enough(tmp_path: Path) -> None:
    about = manifest.load(written(tmp_path, "program: mine_bench\n"), "mine")
    assert (about.program, about.image, about.extra, about.bars) == (
        "mine_bench",
        "minimal",
        None,
        (),
    )


@pytest.mark.parametrize("name", manifest.names(SUITES))
def test_each_carried_suite_can_be_measured(name: str) -> None:
    about = manifest.load(SUITES, name)
    programs = [about.program, *([about.extra.program] if about.extra else [])]
    for program in programs:
        assert program in (SUITES / name / "Makefile").read_text()


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ("program: x\noperatoin: ring\n", "bench.yaml:2: unknown key 'operatoin'", "'operation'"),
        (
            "program: x\nextra: {program: y, image: z, rwos: []}\n",
            "bench.yaml:2: unknown key 'rwos' in extra",
            "'rows'",
        ),
        ("title: x\n", "bench.yaml:1: key 'program' is missing", ""),
        ("program: x\nclock: sundial\n", "bench.yaml:2: clock: ", ""),
        ("program: x\nicount-shift: 11\n", "bench.yaml:2: icount-shift: ", ""),
        (
            "program: x\nreferences: {name: '2009', figures: []}\n",
            "bench.yaml:2: references.figures is empty",
            "",
        ),
        ("program: x\nbars: [{title: a, over: b, at-most: 0}]\n", "bars[0].at-most: ", ""),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, error: str, hint: str) -> None:
    with pytest.raises(UserError) as caught:
        manifest.load(written(tmp_path, text), "mine")
    assert error in caught.value.what
    assert hint in caught.value.hint


def test_a_suite_without_the_file_hears_what_to_add(tmp_path: Path) -> None:
    written(tmp_path, "program: x\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/Makefile").touch()
    with pytest.raises(UserError, match=r"has no bench\.yaml") as caught:
        manifest.load(tmp_path, "other")
    assert "other/bench.yaml" in caught.value.hint
    assert "program:" in caught.value.hint


@pytest.mark.parametrize(("name", "hint"), [("mien", "did you mean mine?"), ("../mine", "mine")])
def test_another_name_is_refused(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(UserError, match="no suite") as caught:
        manifest.load(written(tmp_path, "program: x\n"), name)
    assert hint in caught.value.hint
