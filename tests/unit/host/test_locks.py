from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import Timeout

from toolkit.core.deadline import Deadline
from toolkit.host import locks
from toolkit.host.locks import Holder, Locks

HOLD = """
import sys
from pathlib import Path
from toolkit.core.deadline import Deadline
from toolkit.host import locks
root = Path(sys.argv[1])
mine = locks.Locks(root, "toolkit fetch", "/runs/one")
with mine.hold("kind/key", "it", Deadline.after(20)), locks.in_use(root):
    print("held", flush=True)
    sys.stdin.read()
"""


def soon() -> Deadline:
    return Deadline.after(20)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock kind/key, and uses the folder."""
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_lock_falls_with_a_process_that_is_killed(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    mine = Locks(tmp_path, "toolkit boot")
    assert mine.attempt("kind/key") is None
    holder = mine.holder("kind/key")
    assert holder is not None
    assert (holder.pid, holder.command, holder.folder) == (other.pid, "toolkit fetch", "/runs/one")
    other.kill()
    other.wait()
    with mine.hold("kind/key", "it", soon()):
        holder = mine.holder("kind/key")
        assert holder is not None
        assert holder.command == "toolkit boot"  # the note of the killed one is replaced
    assert mine.holder("kind/key") is None


def test_a_wait_names_each_holder_once_and_its_own_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_SILENT", -1.0)
    heard: list[tuple[str, str]] = []
    mine = Locks(tmp_path, "toolkit boot", "/runs/mine", lambda *words: heard.append(words))
    holders = iter([7, 7, 8, 8])

    def attempt() -> str | None:
        return "taken" if len(heard) == 2 else None

    def holder() -> Holder:
        return Holder(next(holders), "toolkit fetch", "", 1e9)

    assert mine.wait(attempt, holder, what="it", deadline=soon()) == "taken"
    assert [(what, whom.split(" since")[0]) for what, whom in heard] == [
        ("it", "pid 7"),
        ("it", "pid 8"),
        ("it", ""),
    ]


def test_a_short_wait_and_one_for_the_run_itself_are_not_worth_a_word(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    mine = Locks(tmp_path, "toolkit boot", "/runs/mine", lambda *words: heard.append(words))
    ready = threading.Event()

    def hold(seconds: float) -> None:
        with mine.hold("kind/key", "it", soon()):
            ready.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold, args=[1.5])
    thread.start()
    ready.wait()
    with mine.hold("kind/key", "it", soon()):
        assert heard == []
    thread.join()


def test_the_deadline_ends_a_wait(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    deadline = Deadline.after(20).cancellable()
    deadline.cancel()
    with pytest.raises(Timeout), Locks(tmp_path, "x").hold("kind/key", "it", deadline):
        pass


@pytest.mark.parametrize("note", ["", "{", "[]", '{"pid": 1}', '{"pid": 1, "more": 2}'])
def test_a_note_that_cannot_be_read_names_nobody(tmp_path: Path, note: str) -> None:
    (tmp_path / "key.holder").write_text(note)
    assert Locks(tmp_path, "x").holder("key") is None


def test_a_holder_in_words() -> None:
    now = time.time()
    words = Holder(812, "toolkit fetch", "/runs/one", now).describe()
    assert words.startswith("pid 812 since ")
    assert words.endswith(" (toolkit fetch; run folder /runs/one)")
    assert Holder(812, "x", "", 0.0).describe().endswith("(x)")
    assert "19" in Holder(812, "x", "", 0.0).describe()  # of another day: with its date


def test_a_long_command_is_cut(tmp_path: Path) -> None:
    lock = Locks(tmp_path, "x" * 10_000)
    with lock.hold("key", "it", soon()):
        assert len(json.loads((tmp_path / "key.holder").read_text())["command"]) < 300


def test_a_folder_is_in_use_until_its_user_is_killed(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    assert locks.is_in_use(tmp_path)
    other.kill()
    other.wait()
    assert not locks.is_in_use(tmp_path)
    with locks.in_use(tmp_path), locks.in_use(tmp_path):
        assert locks.is_in_use(tmp_path)
    assert not locks.is_in_use(tmp_path)
