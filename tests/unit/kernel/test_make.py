from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fake_tree import soon
from toolkit.core.errors import BuildError, InfrastructureError
from toolkit.core.observer import Silent
from toolkit.kernel import make


def test_what_is_made_and_what_make_says(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("it:\n\t@echo '  CC      $(ARCH)/$(WHO).o' | tee $(O)/it\n")
    heard: list[str] = []
    job = make.Make(tmp_path, tmp_path, "x86_64", 2, soon(), tmp_path / "log", {"WHO": "me"})
    job.run("it", on_line=heard.append)
    assert (tmp_path / "it").read_text() == "  CC      x86_64/me.o\n"
    assert "  CC      x86_64/me.o" in heard
    said = (tmp_path / "log").read_text()
    assert said.startswith(f"$ make -j2 -C {tmp_path} O={tmp_path} ARCH=x86_64 it\n")
    assert "x86_64/me.o" in said
    with pytest.raises(BuildError, match="does not build") as caught:
        job.run("that")
    assert any("No rule to make target 'that'" in line for line in caught.value.detail)


class Counting(Silent):
    """Keeps how far a stage said that it was."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int | None, str]] = []

    def stage_progress(self, name: str, done: int, total: int | None, detail: str = "") -> None:
        assert name == "build"
        self.heard.append((done, total, detail))


def test_the_second_build_knows_how_many_steps_there_are(tmp_path: Path) -> None:
    lines = ["make[1]: Entering directory", "  CC      a.o", "  LD [M]  b.ko"]
    for total in (None, 2):
        told = Counting()
        progress = make.Progress(told, tmp_path / "steps")
        for line in lines:
            progress(line)
        progress.remember()
        assert told.heard == [(1, total, "CC a.o"), (2, total, "LD b.ko")]


def test_the_hosts_faults_are_not_the_kernels() -> None:
    full = make.explain_failure(["ld: final link failed: No space left on device"], None)
    assert isinstance(full, InfrastructureError)
    assert "cache prune" in full.hint
    missing = make.explain_failure(["/bin/sh: 1: flex: not found"], None)
    assert isinstance(missing, InfrastructureError)
    assert "needs flex" in missing.what


def test_the_context_of_an_error_is_kept_and_noise_is_not() -> None:
    lines = [
        "  CC      virt/kvm/kvm_main.o",
        "virt/kvm/kvm_main.c: In function 'f':",
        "virt/kvm/kvm_main.c:5:3: error: implicit declaration of function 'g'",
        "    5 |   g();",
        "      |   ^",
        "  CC      fs/open.o",
        "make[4]: *** [scripts/Makefile.build:229: virt/kvm/kvm_main.o] Error 1",
    ]
    detail = make.explain_failure(lines, None).detail
    assert detail == (*lines[1:5], lines[6])


@given(st.lists(st.text(max_size=80), max_size=30))
def test_any_output_gives_an_error_to_raise(lines: list[str]) -> None:
    error = make.explain_failure(lines, None)
    assert isinstance(error, BuildError | InfrastructureError)
