"""The command, with a judge that only pretends: its exit codes are what git goes by."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from tests import a_result
from tests.unit.cli.conftest import Call
from tests.unit.fake_tree import git
from tests.unit.history import line, real
from toolkit.cli import bisect
from toolkit.core import paths
from toolkit.core.errors import InfrastructureError, UserError
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import history
from toolkit.workflow import bisect_judge
from toolkit.workflow.bisect_judge import Answer, Judge
from toolkit.workflow.bisect_state import Judgement

PROJECT = Path(__file__).parents[3]
LEAF = ("--leaf", "kvm/a_test/case")
ANSWERS = {"good": Judgement.GOOD, "bad": Judgement.BAD, "skip": Judgement.SKIP}


@pytest.fixture
def call(command_line: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return what runs the command line in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return command_line


def judging(monkeypatch: pytest.MonkeyPatch, answer: Callable[[Judge, str], Answer]) -> None:
    monkeypatch.setattr(
        bisect_judge.Judge, "__call__", lambda self, kernel, *_: answer(self, kernel)
    )


# --- one step ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [("good", 0, "is good"), ("bad", 1, "is bad"), ("skip", 125, "cannot be judged")],
)
def test_a_step_tells_git(
    call: Call, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, words: str
) -> None:
    asked: list[str] = []

    def answers(_: Judge, kernel: str) -> Answer:
        asked.append(kernel)
        return ANSWERS[answer], "fail: a \x1b[2J reason"

    judging(monkeypatch, answers)
    got, printed = call("bisect", *LEAF)
    assert got == code
    assert f"kvm/a_test/case {words}: fail: a \\x1b[2J reason" in printed
    assert asked == ["tree:."]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("no such suite"), 129),
        (InfrastructureError("no such tool"), 128),
        (OSError(28, "No space left on device"), 128),
        (ValueError("a fault of ours"), 128),
        (KeyboardInterrupt("interrupted"), 130),
    ],
)
def test_what_is_no_verdict_stops_git(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def raises(*_: object) -> Answer:
        raise error

    judging(monkeypatch, raises)
    got, printed = call("bisect", *LEAF)
    assert got == code
    said = error.strerror if isinstance(error, OSError) else str(error)
    assert str(said) in printed


@pytest.mark.parametrize(
    "words",
    [
        ("--no-such-option", *LEAF),
        (),
        ("--leaf", "kvm"),
        (*LEAF, "--repeat", "0"),
        (*LEAF, "--profile", "missing.config"),
        (*LEAF, "superfluous"),
    ],
)
def test_wrong_words_stop_git(call: Call, words: tuple[str, ...]) -> None:
    code, printed = call("bisect", *words)
    assert code == 129
    assert "toolkit: " in printed


def test_help_is_no_step(call: Call) -> None:
    code, printed = call("bisect", "--help")
    assert code == 0
    assert "git bisect run toolkit bisect --leaf" in printed


def test_steps_share_a_run_folder(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places: list[Path] = []

    def answers(self: Judge, _: str) -> Answer:
        places.append(self.like.folder)
        return Judgement.GOOD, ""

    judging(monkeypatch, answers)
    for _ in range(2):
        call("bisect", *LEAF, "--run-dir", str(tmp_path / "runs"))
    assert len(set(places)) == 2
    assert {place.parent for place in places} == {tmp_path / "runs"}


def test_a_step_says_how_it_is_repeated(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    def answers(self: Judge, _: str) -> Answer:
        commands.append(" ".join(self.command))
        return Judgement.GOOD, ""

    judging(monkeypatch, answers)
    options = (
        "-p",
        "v4",
        "--append",
        "a",
        "--append",
        "b",
        "--no-snapshots",
        "--slow",
        "-j",
        "2",
        "--repeat",
        "3",
    )
    call("--root", str(PROJECT), "bisect", *LEAF, *options)
    call("bisect", "--leaf", "boot", *options)
    shared = "--patch v4 --jobs 2 --no-snapshots --append a --append b"
    assert commands == [
        f"toolkit --root {PROJECT} build-and-test --repeat 3 {shared} --slow",
        f"toolkit boot {shared}",
    ]


# --- a search ------------------------------------------------------------------------------

RANGE = ("--good", "c0", "--bad", "main")


def of_state(
    ids: list[str], first_bad: int, skipped: tuple[int, ...] = ()
) -> Callable[..., Answer]:
    def answer(_: Judge, kernel: str) -> Answer:
        number = ids.index(kernel.rpartition("@")[2])
        if number in skipped:
            return Judgement.SKIP, "does not build"
        return (Judgement.BAD if number >= first_bad else Judgement.GOOD), "a reason"

    return answer


def test_a_search(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ids = real(tmp_path / "r", line(9))
    judging(monkeypatch, of_state(ids, 6, (4,)))
    kernel = ("--kernel", f"git:{tmp_path}/r")
    code, printed = call("bisect", *kernel, *RANGE, *LEAF, "--run-dir", str(tmp_path / "run"))
    assert code == 0
    assert f"the first bad commit:\n  {ids[6]} subject 6\n    A Thor <a@x>, 1970-" in printed
    assert f"{ids[4][:12]}  skip" in printed
    assert (tmp_path / "run/bisect.json").exists()

    judging(monkeypatch, of_state(ids, 6, (4, 5, 6)))
    monkeypatch.chdir(tmp_path / "r")
    code, printed = call("bisect", *RANGE, *LEAF)
    assert code == 1
    assert "one of these" in printed
    assert printed.index(ids[7]) < printed.index(f"  {ids[6]} subject 6")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--good", "c0"), "go together"),
        (("--bad", "main"), "go together"),
        ((*RANGE, "--kernel", "tree:."), "no history"),
        ((*RANGE, "--kernel", "debian:6.12"), "no history"),
        ((*RANGE, "--kernel", "git:.@HEAD"), "names one commit"),
        ((*RANGE, "--kernel", "git:.@c1"), "names one commit"),
        (("--good", "c0", "--bad", "c77"), "has no revision 'c77'"),
        (("--good", "main", "--bad", "c0"), "does not come after"),
        ((*RANGE, "--no-such-option"), "no-such-option"),
    ],
)
def test_a_search_that_cannot_be(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    real(tmp_path / "r", line(3))
    monkeypatch.chdir(tmp_path / "r")
    code, printed = call("bisect", *words, *LEAF)
    assert code == 2
    assert said in printed


def test_a_search_stops_at_the_host_s_fault(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real(tmp_path / "r", line(3))

    def raises(*_: object) -> Answer:
        raise InfrastructureError("no such tool")

    judging(monkeypatch, raises)
    assert call("bisect", "--kernel", f"git:{tmp_path}/r", *RANGE, *LEAF)[0] == 3


def test_completion_knows_revisions_and_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real(tmp_path / "r", line(12))
    context = click.Context(bisect.bisect)
    parameter = context.command.params[0]
    context.params = {"kernel": f"git:{tmp_path}/r"}
    assert bisect.complete_revision(context, parameter, "c1") == ["c1", "c10", "c11"]
    context.params = {"kernel": "debian:6.12"}
    assert bisect.complete_revision(context, parameter, "c1") == []
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert bisect.complete_leaf(context, parameter, "kvm") == []
    database = paths.resolve(PROJECT).history
    history.record(database, a_result.passed(leaves=(Leaf("kvm/a/b", Status.PASS),)), tmp_path)
    assert bisect.complete_leaf(context, parameter, "kvm") == ["kvm/a/b"]


# --- git's own -----------------------------------------------------------------------------

STEP = """
import sys
from pathlib import Path
from toolkit.cli import main
from toolkit.workflow import bisect_judge
from toolkit.workflow.bisect_state import Judgement
from toolkit.core.errors import InfrastructureError

def answer(self, kernel, *_):
    state = int(Path("state").read_text())
    if state == {lost}:
        raise InfrastructureError("the host is at fault")
    if state == {skipped}:
        return Judgement.SKIP, "does not build"
    return (Judgement.BAD if state >= {first_bad} else Judgement.GOOD), "a reason"

bisect_judge.Judge.__call__ = answer
main.main()
"""


def bisect_run(tmp_path: Path, *words: str, **states: int) -> tuple[int, str, list[str]]:
    ids = real(tmp_path / "r", line(9))
    script = tmp_path / "step.py"
    script.write_text(STEP.format(**{"lost": -1, "skipped": -1, "first_bad": 6, **states}))
    git(tmp_path / "r", "bisect", "start", "main", "c0")
    done = subprocess.run(
        ["git", "bisect", "run", sys.executable, str(script), "bisect", *words],
        cwd=tmp_path / "r",
        env={
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, ids


def test_git_bisect_run_finds_it(tmp_path: Path) -> None:
    code, printed, ids = bisect_run(tmp_path, *LEAF, skipped=4)
    assert code == 0, printed
    assert f"{ids[6]} is the first bad commit" in printed
    assert "kvm/a_test/case cannot be judged: does not build" in printed


@pytest.mark.parametrize("words", [LEAF, (*LEAF, "--mistyped")])
def test_git_bisect_run_stops_where_there_is_no_verdict(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, printed, _ = bisect_run(tmp_path, *words, lost=4)
    assert code != 0
    assert "is the first bad commit" not in printed
    log = git(tmp_path / "r", "bisect", "log").decode()
    assert len([row for row in log.splitlines() if row.startswith("git bisect")]) == 1, log
