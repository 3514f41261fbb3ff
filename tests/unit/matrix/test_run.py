from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from tests.unit.matrix.fake_pool import FakePool, Play
from tests.unit.matrix.results import by_series, leaf
from tests.unit.matrix.test_engine import Watcher
from toolkit.core import paths
from toolkit.core.errors import UserError
from toolkit.core.model.matrix import MatrixResult
from toolkit.core.model.testing import Status
from toolkit.matrix import cells, inputs, offers, run, version
from toolkit.report import history
from toolkit.report.matrix import document

PROJECT = Path(__file__).parents[3]
FILE = "title: Nightly\naxes: {series: [v4, v5], kernel: ['debian:6.12'], suite: [kvm]}"
FAIL = leaf("kvm/a_test/new", Status.FAIL, "3 != 4")


class Listener(Watcher):
    def notice(self, text: str) -> None:
        self.lines.append(text)


Call = Callable[..., tuple[MatrixResult, Path]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return what runs a matrix with a play, and gives its result and folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(version, "this", lambda: "1.0 (abc)")
    file = tmp_path / "m.yaml"
    file.write_text(FILE)

    def called(
        bad: dict[str, Any] | None = None,
        play: Play | None = None,
        pool: FakePool | None = None,
        listener: Listener | None = None,
        **asked: Any,
    ) -> tuple[MatrixResult, Path]:
        its = pool or FakePool()
        its.play = play or cast(Play, by_series(bad or {}))

        @contextlib.contextmanager
        def opened(_run: str, archive: bytes) -> Iterator[FakePool]:
            assert archive
            yield its

        return run.run(
            cells.load(file),
            run.Asked(file, ("toolkit", "matrix", "m.yaml"), **asked),
            paths.resolve(PROJECT),
            opened,
            listener or Listener(),
        )

    return called


def test_a_matrix_leaves_a_folder_with_all_of_it(call: Call) -> None:
    pool = FakePool()
    result, folder = call({"v5": (FAIL,)}, pool=pool)
    assert pool.forgotten, "workers keep nothing that the client has"
    assert [(each.cell.series, each.exit_code) for each in result.cells] == [("v4", 0), ("v5", 1)]
    assert result.exit_code == 1
    data = json.loads((folder / "matrix.json").read_bytes())
    jsonschema.validate(data, json.loads(document.SCHEMA_FILE.read_text()))
    assert data["cells"][1]["bad"] == ["kvm/a_test/new"]
    for name in ("junit.xml", "kcidb.json", "summary.md", "index.html"):
        assert (folder / name).is_file()
    for each in result.cells:
        assert (folder / each.folder / "report.html").is_file()
    recorded = history.runs(paths.resolve(PROJECT).history, limit=10)
    assert [entry.folder for entry in recorded] == [folder / each.folder for each in result.cells]


def test_what_changed_since_the_last_run_of_a_cell(call: Call) -> None:
    first, folder = call()
    assert [each.change for each in first.cells] == [None, None]
    second, other = call({"v5": (FAIL,)})
    assert other != folder, "what is finished is not gone on with"
    same, worse = (each.change for each in second.cells)
    assert same is not None
    assert worse is not None
    assert (same.verdict.value, same.broken, same.mended) == ("pass", (), ())
    assert (worse.verdict.value, worse.broken) == ("pass", ("kvm/a_test/new",))
    third, _ = call()
    mended = third.cells[1].change
    assert mended is not None
    assert (mended.verdict.value, mended.mended) == ("fail", ("kvm/a_test/new",))


def dying(after: int) -> Play:
    count = [0]
    inner = cast(Play, by_series({}))

    def play(*given: Any) -> Any:
        count[0] += 1
        if count[0] > after:
            raise KeyboardInterrupt
        return inner(*given)

    return play


def test_an_interrupted_run_has_reports_and_goes_on(call: Call) -> None:
    first, second = FakePool(), FakePool()
    with pytest.raises(KeyboardInterrupt):
        call(play=dying(3), pool=first)
    listener = Listener()
    result, folder = call(pool=second, listener=listener)
    assert listener.lines[1].startswith("going on with what began at ")
    assert result.exit_code == 0
    tests = [title for title, _ in first.done[:-1] + second.done if title.startswith("test")]
    assert len(tests) == len(set(tests)) == 2
    assert json.loads((folder / "state.json").read_bytes())["ended"] is True
    assert len(history.runs(paths.resolve(PROJECT).history, limit=10)) == 2, "each cell once"


def test_what_was_not_run_is_named_in_the_reports(call: Call, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        call(play=dying(3), run_dir=tmp_path / "out")
    data = json.loads((tmp_path / "out/matrix.json").read_bytes())
    assert data["exit_code"] == 130
    assert {each["verdict"] for each in data["cells"]} == {"pass", "interrupted"}


@pytest.mark.parametrize("what", ["fresh", "file", "inputs", "version"])
def test_a_run_goes_on_only_where_its_jobs_are_the_same(
    call: Call, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(KeyboardInterrupt):
        call(play=dying(3))
    if what == "file":
        (tmp_path / "m.yaml").write_text(FILE + "\nsettings: [{slow: true}]")
    elif what == "inputs":
        monkeypatch.setattr(inputs, "gather", _other_inputs(inputs.gather))
    pool = FakePool()
    if what == "version":
        monkeypatch.setattr(version, "this", lambda: "1.1 (def)")
        pool.workers = {"one": {**pool.workers["one"], offers.of_version("1.1 (def)"): 1}}
    call(pool=pool, fresh=what == "fresh")
    assert sum(title.startswith("test") for title, _ in pool.done) == 2


def _other_inputs(gather: Any) -> Any:
    def other(*given: Any) -> Any:
        its = gather(*given)
        return inputs.Inputs(its.archive + b"edited", its.cells)

    return other


def test_a_folder_of_the_caller_s_choice(call: Call, tmp_path: Path) -> None:
    _, folder = call(run_dir=tmp_path / "out")
    assert folder == tmp_path / "out"
    with pytest.raises(UserError, match="holds a matrix that is finished"):
        call(run_dir=tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    with pytest.raises(UserError, match="holds something else"):
        call(run_dir=tmp_path / "other")


def test_a_ci_s_page_gets_the_summary(call: Call, tmp_path: Path) -> None:
    call(step_summary=tmp_path / "page.md")
    assert "Nightly" in (tmp_path / "page.md").read_text()
