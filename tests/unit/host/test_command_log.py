from __future__ import annotations

import shlex
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, ToolFailedError
from toolkit.host import command_log, process, recording
from toolkit.host.recording import Command


def soon() -> Deadline:
    return Deadline.after(20)


def commands(log: str) -> list[str]:
    """Return the commands of a log without its head and its comments."""
    return [line for line in log.splitlines()[4:] if line and line[0] != "#"]


def a_command(*argv: str) -> Command:
    return Command(argv, None, {}, False, (), (), 0, 0.0)


def test_a_command_is_kept_with_its_place_environment_time_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GONE", "1")
    shown: list[str] = []
    with command_log.recorded(tmp_path, shown.append):
        env = {"A": "a b", "GONE": None, "NEVER": None}
        with pytest.raises(ToolFailedError):
            process.run(["/bin/sh", "-c", "exit 3"], cwd=tmp_path, env=env, deadline=soon())
        process.run(["/bin/cat"], input=b"1234", inherit=["HOME"], deadline=soon())
        recording.note("guest: true")
    process.run(["/bin/true"], deadline=soon())
    log = (tmp_path / "commands.log").read_text()
    first, second = commands(log)
    assert first == f"(cd {tmp_path} && env --unset=GONE A='a b' /bin/sh -c 'exit 3')"
    assert second.startswith("env -i HOME=")
    assert second.endswith(" LC_ALL=C.UTF-8 /bin/cat")
    assert "# [1] exit status 3 after 0." in log
    assert "# [2] at 0." in log
    assert "with 4 bytes of input that are not kept" in log
    assert "# at 0." in log.splitlines()[-1]
    assert log.endswith("guest: true\n")
    assert shown == [f"$ {first}", f"$ {second}"]


def test_what_is_logged_can_be_repeated(tmp_path: Path) -> None:
    strange = ["a b", "'", "$HOME", "", "\x1b[31m", "ü", "two\nlines", "*"]
    program = f"import sys; open({str(tmp_path / 'got')!r}, 'a').write(repr(sys.argv[1:]) + '\\n')"
    with command_log.recorded(tmp_path):
        process.run([sys.executable, "-c", program, *strange], deadline=soon())
    assert "\x1b" not in (tmp_path / "commands.log").read_text()
    subprocess.run(["bash", str(tmp_path / "commands.log")], check=True)
    one, other = (tmp_path / "got").read_text().splitlines()
    assert one == other == repr(strange)


def test_threads_that_began_before_are_recorded(tmp_path: Path) -> None:
    go = threading.Event()

    def work() -> None:
        go.wait(20)
        process.run(["/bin/echo", threading.current_thread().name], deadline=soon())

    threads = [threading.Thread(target=work, name=f"t{number}") for number in range(4)]
    for thread in threads:
        thread.start()
    with command_log.recorded(tmp_path):
        go.set()
        for thread in threads:
            thread.join()
    log = (tmp_path / "commands.log").read_text()
    assert sorted(commands(log)) == [f"/bin/echo t{number}" for number in range(4)]
    for number in range(1, 5):
        assert log.count(f"# [{number}] exit status 0 after") == 1


def test_a_sandbox_is_a_comment_before_its_command(tmp_path: Path) -> None:
    with command_log.recorded(tmp_path):
        process.run(["/bin/true"], within=["/usr/bin/env", "A=a b"], deadline=soon())
    log = (tmp_path / "commands.log").read_text()
    assert commands(log) == ["/bin/true"]
    assert ", confined by\n# /usr/bin/env 'A=a b'\n/bin/true\n" in log


def test_ends_by_a_signal_and_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/nowhere/interpreter\n")
    with command_log.recorded(tmp_path):
        child = process.start(["/bin/sleep", "60"])
        process.stop(child)
        process.stop(child)
        with pytest.raises(InfrastructureError):
            process.start(["/bin/true"], cwd=tmp_path / "absent")
    log = (tmp_path / "commands.log").read_text()
    assert log.count("# [1] killed by signal 15 after") == 1
    assert "# [2] could not be started after" in log


def test_a_killed_toolkit_leaves_what_it_had_started(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from toolkit.core.deadline import Deadline
        from toolkit.host import command_log, process
        with command_log.recorded(Path({str(tmp_path)!r})):
            process.run(["/bin/true"], deadline=Deadline.after(20))
            process.start(["/bin/sleep", "60"])
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    subprocess.run([sys.executable, "-c", program], check=False)
    log = (tmp_path / "commands.log").read_text()
    assert commands(log) == ["/bin/true", "/bin/sleep 60"]
    assert "# [1] exit status 0" in log
    assert "# [2] exit" not in log


@pytest.mark.parametrize(
    ("words", "left"),
    [([str(number) for number in range(5000)], 4701), (["x" * 100_000], 0), (["a\nb"] * 400, 101)],
)
def test_a_long_command_is_cut_and_no_command_any_more(words: list[str], left: int) -> None:
    line = command_log.repeatable(a_command("/bin/echo", *words))
    assert len(line) < 1 << 16
    assert all(each.startswith("# ") for each in line.splitlines())
    assert line.endswith(f"… and {left} more arguments" if left else "…")


def test_secrets_are_masked(tmp_path: Path) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nabcSECRETdef\n-----END RSA PRIVATE KEY-----"
    with command_log.recorded(tmp_path):
        url = "https://me:SECRET@example.org/a"
        process.run(["/bin/true", f"string={key}", url], env={"K": key}, deadline=soon())
        recording.note(f"guest: echo '{key}'")
    log = (tmp_path / "commands.log").read_text()
    assert "SECRET" not in log
    assert "example.org/a" in log


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_argument_survives_quoting(words: list[str]) -> None:
    line = command_log.repeatable(a_command(*words))
    assert "\x1b" not in line
    if "$'" not in line and "://" not in line:
        assert shlex.split(line) == words


def test_a_log_that_cannot_be_written_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "commands.log").symlink_to("/dev/full")
    with command_log.recorded(tmp_path):
        assert process.run(["/bin/echo", "a"], deadline=soon()).text == "a\n"
