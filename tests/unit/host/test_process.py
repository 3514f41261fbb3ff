from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.core import deadline
from toolkit.core.deadline import Deadline
from toolkit.core.errors import (
    DeadlineError,
    InfrastructureError,
    ToolFailedError,
    ToolMissingError,
)
from toolkit.host import process


def soon() -> Deadline:
    return Deadline.after(20)


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie nobody reaped counts as ended."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("word", ["a\0b", "\ud800"])
def test_a_word_that_no_program_can_get_is_an_error_and_the_next_one_starts(word: str) -> None:
    with pytest.raises(InfrastructureError, match="cannot start echo"):
        process.run(["echo", word], deadline=soon())
    assert process.run(["echo", "a"], deadline=soon()).text == "a\n"


def test_a_wait_of_many_days_goes_on_after_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "LONGEST", 0.05)
    done = process.run(["sh", "-c", "sleep 0.3; echo a"], deadline=Deadline.after(10_000_000))
    assert done.text == "a\n"


def test_whether_a_child_was_stopped() -> None:
    child = process.start(["sleep", "60"])
    try:
        assert process.stopped(child) is None
        for number, stopped in ((signal.SIGSTOP, True), (signal.SIGCONT, False)):
            os.kill(child.pid, number)
            seen = None
            for _ in range(200):
                seen = process.stopped(child) if seen is None else seen
                time.sleep(0 if seen is not None else 0.02)
            assert seen is stopped
            assert process.stopped(child) is None
    finally:
        process.stop(child)
    assert process.stopped(child) is None


def test_how_long_a_child_waited_for_a_cpu() -> None:
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel has no CONFIG_SCHED_INFO")
    cpu = str(min(os.sched_getaffinity(0)))
    loop = ["taskset", "-c", cpu, "sh", "-c", "while :; do :; done"]
    children = [process.start(loop) for _ in range(3)]
    try:
        limit = Deadline.after(30)
        while process.waited(children[0]) < 0.2:
            limit.check("waiting beside two others")
            time.sleep(0.05)
    finally:
        for child in children:
            process.stop(child)
    assert process.waited(children[0]) == 0.0


def test_keeps_the_streams_apart() -> None:
    done = process.run(["sh", "-c", "echo out; echo err >&2"], deadline=soon())
    assert (done.stdout, done.stderr, done.status) == (b"out\n", b"err\n", 0)


def test_merges_in_order_hears_lines_and_logs(tmp_path: Path) -> None:
    log, lines = tmp_path / "log", list[str]()
    process.run(
        ["sh", "-c", "echo one; echo two >&2; printf three"],
        deadline=soon(),
        merge=True,
        log=log,
        on_line=lines.append,
    )
    assert lines == ["one", "two", "three"]
    assert log.read_bytes() == b"one\ntwo\nthree"


def test_passes_input_larger_than_a_pipe() -> None:
    data = b"x" * 1_000_000
    assert process.run(["cat"], deadline=soon(), input=data).stdout == data


def test_a_failure_carries_status_and_last_words() -> None:
    with pytest.raises(ToolFailedError) as caught:
        process.run(["sh", "-c", "echo no luck >&2; exit 3"], deadline=soon())
    assert caught.value.status == 3
    assert caught.value.detail == ("no luck",)


def test_a_signal_is_told_as_such() -> None:
    done = process.run(["sh", "-c", "kill -9 $$"], deadline=soon(), check=False)
    assert done.status == -9


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(ToolMissingError, match="no-such-program") as caught:
        process.run(["no-such-program"], deadline=soon())
    assert "apt-get install no-such-program" in caught.value.hint


def test_the_deadline_stops_the_whole_group(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with pytest.raises(DeadlineError, match="sh did not end"):
        process.run(
            ["sh", "-c", f"sleep 60 & echo $! > {pidfile}; wait"], deadline=Deadline.after(0.5)
        )
    assert gone(int(pidfile.read_text()))


def test_a_child_that_never_falls_silent_has_the_same_deadline() -> None:
    with pytest.raises(DeadlineError, match="yes did not end"):
        process.run(
            ["yes", "x" * 60_000], deadline=Deadline.after(0.5), on_line=lambda _: time.sleep(0.01)
        )


def test_a_child_that_floods_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process, "_LIMIT", 1 << 20)
    with pytest.raises(InfrastructureError, match="yes wrote over 1 MiB"):
        process.run(["yes"], deadline=soon(), log=tmp_path / "log")
    assert (tmp_path / "log").stat().st_size <= (1 << 20) + process.READ_SIZE


def test_a_grandchild_that_holds_the_pipe_does_not_hang_the_caller(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    done = process.run(["sh", "-c", f"sleep 60 & echo $! > {pidfile}; echo done"], deadline=soon())
    assert done.stdout == b"done\n"
    assert gone(int(pidfile.read_text()))


def test_stop_climbs_to_kill() -> None:
    child = process.start(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    assert process.stop(child, process.Grace(terminate=0.2)) == -signal.SIGKILL
    child.stdout.close()


def test_a_child_does_not_outlive_a_killed_toolkit() -> None:
    program = textwrap.dedent("""
        import time
        from toolkit.host import process
        child = process.start(["sleep", "60"])
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # Bound once setpriv has become the program; the milliseconds before are not covered.
        for _ in range(500):
            if Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                break
            time.sleep(0.01)
        parent.kill()
        parent.wait()
    assert gone(pid)


def test_an_interrupt_stops_the_child(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    program = textwrap.dedent(f"""
        from toolkit.host import process
        from toolkit.core.deadline import Deadline
        try:
            process.run(["sh", "-c", "echo $$ > {pidfile}; sleep 60"], deadline=Deadline.after(50))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    # Where the tests run in the background, a shell has SIGINT ignored for all below it.
    line = ["env", "--default-signal=INT", sys.executable, "-c", program]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as parent:
        for _ in range(500):
            if pidfile.exists() and pidfile.read_text().strip():
                break
            time.sleep(0.02)
        pid = int(pidfile.read_text())
        parent.send_signal(signal.SIGINT)
        assert parent.communicate(timeout=20)[0] == b"interrupted\n"
    assert gone(pid)


def test_the_environment_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_MESSAGES", "de_DE.UTF-8")
    monkeypatch.setenv("MAKEFLAGS", "-k")
    made = process.environment({"EXTRA": "1"})
    assert made["LC_ALL"] == "C.UTF-8"
    assert made["EXTRA"] == "1"
    assert "LC_MESSAGES" not in made
    assert "MAKEFLAGS" not in made
    assert os.environ["MAKEFLAGS"] == "-k"


def test_a_child_that_ended_while_the_toolkit_was_stopped_has_ended(tmp_path: Path) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    code = f"""
from toolkit.core.deadline import Deadline
from toolkit.host import process
argv = ["sh", "-c", "echo word; touch {started}; sleep 0.3; touch {ended}"]
print(process.run(argv, deadline=Deadline.after(1.5)).text)
"""
    toolkit = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    _until(started.exists)
    toolkit.send_signal(signal.SIGSTOP)
    _until(ended.exists)
    time.sleep(1.6)  # its time is out now
    toolkit.send_signal(signal.SIGCONT)
    out, _ = toolkit.communicate(timeout=20)
    assert (toolkit.returncode, out.strip()) == (0, "word")


def _until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")
