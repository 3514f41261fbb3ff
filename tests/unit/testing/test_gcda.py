"""The counters of a guest that is a folder of this host."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.deadline import Deadline
from toolkit.core.errors import DeadlineError, InfrastructureError, MachineLostError
from toolkit.core.model.testing import TestProgram
from toolkit.kernel.gcov_build import Profiled
from toolkit.testing import gcda
from toolkit.vm.ssh import CommandResult

OBJECTS = ("drivers/misc/doorbell", "virt/kvm/event fd")
MAGIC = b"adcg"
PROGRAM = TestProgram("kvm", "a_test", 30.0)


class Guest:
    """A session whose shell is this host's, with debugfs in a folder."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.debugfs = root / "debug"
        self.answer: bytes | None = None
        self.error: Exception | None = None
        monkeypatch.setattr(gcda, "_GCOV", str(self.debugfs))
        monkeypatch.setattr(gcda, "_COPY", str(root / "copy"))
        self.debugfs.mkdir()
        (self.debugfs / "reset").write_text("")

    def put(self, stem: str, data: bytes) -> None:
        path = self.debugfs / f"build/out/{stem}.gcda"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def run(
        self,
        command: str,
        *,
        deadline: Deadline,
        on_stdout: Callable[[bytes], None],
        keep: int,
    ) -> CommandResult:
        assert deadline.budget <= 60
        assert keep == 0
        if self.error:
            raise self.error
        done = subprocess.run(["sh", "-c", command], check=False, capture_output=True)
        said = done.stdout if self.answer is None else self.answer
        for at in range(0, len(said), 7):
            on_stdout(said[at : at + 7])
        return CommandResult(done.returncode, None, b"", done.stderr, 0.1)

    def check(self, command: str, *, deadline: Deadline) -> CommandResult:
        if self.error:
            raise self.error
        done = subprocess.run(["sh", "-c", command], check=False, capture_output=True)
        if done.returncode:
            raise InfrastructureError(f"`{command[:20]}` failed in the guest")
        return CommandResult(done.returncode, None, b"", done.stderr, 0.1)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    return Guest(tmp_path, monkeypatch)


@pytest.fixture
def counters(tmp_path: Path) -> gcda.Counters:
    profiled = Profiled(tmp_path, "/build/src", "/build/out", OBJECTS)
    return gcda.Counters(profiled, tmp_path / "run/coverage")


def soon() -> Deadline:
    return Deadline.after(20)


def kept(counters: gcda.Counters) -> dict[str, bytes]:
    return {
        str(path.relative_to(counters.folder)): path.read_bytes()
        for path in counters.folder.rglob("*")
        if path.is_file()
    }


def test_each_program_leaves_its_own_and_the_boot_what_was_before(
    guest: Guest, counters: gcda.Counters
) -> None:
    session: Any = guest
    first, second = MAGIC + bytes(range(256)) * 40, MAGIC + b"\n12\nafter"
    guest.put(OBJECTS[1], first)
    counters.before(session, PROGRAM, soon())
    assert (guest.debugfs / "reset").read_text() == "0\n"
    guest.put(OBJECTS[0], second)  # a module that the program loads
    counters.after(session, PROGRAM, soon())
    guest.put(OBJECTS[1], second)
    counters.before(
        session, PROGRAM, soon()
    )  # a second program: what was before it was not the boot
    assert kept(counters) == {
        f"boot/{OBJECTS[1]}.gcda": first,
        f"kvm/a_test/{OBJECTS[0]}.gcda": second,
        f"kvm/a_test/{OBJECTS[1]}.gcda": first,
    }
    assert counters.lost == {}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"4\nadcg",  # one file of two
        b"9\nadcg0\n",
        b"-1\n0\n",
        b"99999999999999999999\nadcg",
        b"x\nadcg0\n",
        b"5\n/etc/0\n",  # no counter file
        b"1" * 5000,
    ],
)
def test_a_guest_that_lies_gives_no_counters_and_says_so(
    guest: Guest, counters: gcda.Counters, answer: bytes
) -> None:
    guest.answer = answer
    counters.after(guest, PROGRAM, soon())  # type: ignore[arg-type]
    assert kept(counters) == {}
    assert counters.lost["kvm/a_test"].startswith("what the guest sent are no counters")


@given(st.binary(max_size=60), st.integers(0, 4))
def test_any_answer_is_cut_into_files_or_refused(answer: bytes, count: int) -> None:
    try:
        places = list(gcda._places(io.BytesIO(answer), len(answer), count))
    except ValueError:
        return
    assert len(places) == count
    files = [answer[at : at + size] for at, size in places]
    assert all(not data or data[:4] in (MAGIC, b"gcda") for data in files)
    assert b"".join(files) in answer or count > 1


def test_a_guest_that_hangs_is_asked_once_more_and_no_error(
    guest: Guest, counters: gcda.Counters
) -> None:
    guest.error = DeadlineError("x", 5.0)
    counters.after(guest, PROGRAM, soon(), late=True)  # type: ignore[arg-type]
    assert counters.lost == {"kvm/a_test": "the guest hung"}
    guest.error = MachineLostError("x")
    other = TestProgram("kvm", "b_test", 30.0)
    with pytest.raises(MachineLostError):
        counters.after(guest, other, soon())  # type: ignore[arg-type]


def test_a_program_that_runs_again_leaves_what_it_left_first(
    guest: Guest, counters: gcda.Counters
) -> None:
    guest.put(OBJECTS[0], MAGIC + b"first")
    counters.after(guest, PROGRAM, soon())  # type: ignore[arg-type]
    guest.put(OBJECTS[0], MAGIC + b"again")
    counters.after(guest, PROGRAM, soon())  # type: ignore[arg-type]
    assert kept(counters) == {f"kvm/a_test/{OBJECTS[0]}.gcda": MAGIC + b"first"}


def test_a_panic_takes_the_counters_with_it(counters: gcda.Counters) -> None:
    counters.gone(PROGRAM, "the kernel ended with: Kernel panic")
    assert counters.lost == {"kvm/a_test": "the kernel ended with: Kernel panic"}


def test_a_program_that_takes_debugfs_away_is_said_to_have_no_counters(
    guest: Guest, counters: gcda.Counters
) -> None:
    (guest.debugfs / "reset").unlink()
    guest.debugfs.rmdir()
    counters.after(guest, PROGRAM, soon())  # type: ignore[arg-type]
    assert counters.lost == {
        "kvm/a_test": "the guest has none any more: is debugfs still mounted in it?"
    }


def test_a_program_whose_counters_cannot_be_set_to_zero_costs_nobody_else(
    guest: Guest, counters: gcda.Counters
) -> None:
    session: Any = guest
    counters.before(session, PROGRAM, soon())
    (guest.debugfs / "reset").unlink()
    (guest.debugfs / "reset").mkdir()
    other = TestProgram("kvm", "b_test", 30.0)
    counters.before(session, other, soon())
    counters.after(session, other, soon())
    counters.after(session, PROGRAM, soon())
    assert list(counters.lost) == ["kvm/b_test"]
    assert "did not set them to zero: `echo 0" in counters.lost["kvm/b_test"]


def test_a_guest_that_never_gives_its_counters_is_left(
    guest: Guest, counters: gcda.Counters
) -> None:
    guest.error = DeadlineError("x", 60.0)
    counters.after(guest, PROGRAM, soon())  # type: ignore[arg-type]
    assert counters.lost == {"kvm/a_test": "the guest did not give them within 60 s"}
    with pytest.raises(DeadlineError):
        other = TestProgram("kvm", "b_test", 30.0)
        counters.after(guest, other, Deadline.after(0))  # type: ignore[arg-type]


def test_what_a_guest_sends_is_bounded_and_a_full_disk_is_the_hosts(
    guest: Guest, counters: gcda.Counters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcda, "_ALL_LIMIT", 100)
    guest.answer = b"200\n" + MAGIC + bytes(196) + b"0\n"
    counters.after(guest, PROGRAM, soon())  # type: ignore[arg-type]
    assert counters.lost["kvm/a_test"].endswith("they end at byte 0 of 100")

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    with pytest.raises(OSError, match="No space left"):
        counters.after(guest, TestProgram("kvm", "b", 30.0), soon())  # type: ignore[arg-type]
