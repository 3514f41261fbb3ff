from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.matrix.fake_pool import (
    RUN,
    VERSION,
    WHOLE,
    FakeBook,
    FakePool,
    Play,
    cell,
    outcome,
    planned,
)
from toolkit.core.model.matrix import Cell
from toolkit.matrix import jobs
from toolkit.matrix.engine import Engine
from toolkit.matrix.jobs import Job, Kind
from toolkit.matrix.outcome import Outcome
from toolkit.report.matrix.display import Progress


class Watcher:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.progress: list[Progress] = []

    def job_ended(self, title: str, worker: str, seconds: float, fate: str) -> None:
        self.lines.append(f"{title}: {fate or 'done'}")

    def cell_ended(self, label: str, exit_code: int, text: str) -> None:
        self.lines.append(f"cell {label}: {exit_code}")

    def look(self, progress: Progress) -> None:
        self.progress.append(progress)


def go(
    cells: Sequence[Cell],
    pool: FakePool,
    book: FakeBook | None = None,
    *,
    took: Mapping[str, float] | None = None,
    watcher: Watcher | None = None,
) -> FakeBook:
    book = book or FakeBook()
    Engine(
        RUN,
        planned(*cells),
        pool,
        book,
        watcher or Watcher(),
        version=VERSION,
        took=lambda names: {name: (took or {})[name] for name in names if name in (took or {})},
        shard_seconds=60,
    ).go()
    return book


def titles(pool: FakePool) -> list[str]:
    return [title for title, _ in pool.done]


def codes(book: FakeBook) -> list[list[int]]:
    return [[ended.outcome.exit_code for _, ended in parts] for parts in book.cells.values()]


def test_what_several_cells_need_is_made_once() -> None:
    pool = FakePool()
    book = go([cell(suite="kvm"), cell(suite="net"), cell("v5"), cell("v5", "other")], pool)
    assert sorted(titles(pool)) == [
        "build v4 on k",
        "build v5 on k",
        "build v5 on other",
        "fetch k",
        "fetch other",
        "test v4 on k, kvm",
        "test v4 on k, net",
        "test v5 on k, kvm",
        "test v5 on other, kvm",
    ]
    assert codes(book) == [[0]] * 4
    built = next(given.job for given in pool.given.values() if given.job.title == "build v4 on k")
    assert built.words[-7:-4] == ("kvm", "--suite", "net")
    assert sorted(pool.released) == sorted(pool.given), "nothing is held any longer"


def test_each_job_follows_what_it_needs() -> None:
    pool = FakePool()
    go([cell(), cell("v6", baseline=True)], pool)
    by_title = {given.job.title: number for number, given in pool.given.items()}
    after = {given.job.title: given.after for given in pool.given.values()}
    assert after == {
        "fetch k": None,
        "build v4 on k": by_title["fetch k"],
        "test v4 on k, kvm": by_title["build v4 on k"],
        "test v6 on k beside its base": by_title["fetch k"],
    }


def test_tests_are_cut_by_the_seconds_that_are_known() -> None:
    pool = FakePool()
    took = {"kvm/a_test": 50.0, "kvm/b_test": 40.0, "kvm/c_test": 20.0, "net/a_test": 999.0}
    book = go([cell(repeat=1)], pool, took=took)
    assert list(book.cut.values()) == [(("b_test", "c_test"), ("a_test",))]
    tests = [given.job for given in pool.given.values() if given.job.kind is Kind.TEST]
    assert [job.title for job in tests] == ["test v4 on k, kvm 1/2", "test v4 on k, kvm 2/2"]
    assert tests[0].words[7:11] == ("--test", "b_test", "--test", "c_test")
    assert [title for title, _ in next(iter(book.cells.values()))] == [job.title for job in tests]


def test_repeating_takes_so_many_times_as_long() -> None:
    book = go([cell(repeat=4)], FakePool(), took={"kvm/a_test": 15.0})
    assert len(next(iter(book.cut.values()))) == 3


def test_a_series_own_suites_are_all_that_were_built() -> None:
    pool = FakePool()
    book = go([cell(suite="")], pool, took={"kvm/a_test": 100.0, "net/d_test": 100.0})
    (cut,) = book.cut.values()
    assert sorted(name for shard in cut for name in shard) == [
        "a_test", "b_test", "c_test", "d_test",
    ]  # fmt: skip
    assert "--suite" not in next(iter(pool.given.values())).job.words


def failing(*which: str, code: int = 1) -> Play:
    return lambda job, worker, _: outcome(job, code if job.title in which else 0, worker, "why")


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_kernel_that_cannot_be_fetched_ends_its_cells_alone(code: int) -> None:
    pool = FakePool(play=failing("fetch k", code=code))
    book = go([cell(), cell("v5"), cell("v5", "other"), cell("v6", baseline=True)], pool)
    assert sorted(codes(book)) == [[0], [code], [code], [code]]


def test_a_build_that_fails_for_two_suites_is_made_for_each() -> None:
    """One suite that does not compile keeps the other's tests from nothing."""

    def play(job: Job, worker: str, _: int) -> Outcome:
        broken = job.kind is Kind.BUILD and "net" in job.words
        return outcome(job, 1 if broken else 0, worker)

    pool = FakePool(play=play)
    book = go([cell(suite="kvm"), cell(suite="net")], pool)
    ends = {name.rpartition("-")[0]: [e.outcome.exit_code for _, e in parts]
            for name, parts in book.cells.items()}  # fmt: skip
    assert ends == {"v4-k-kvm": [0], "v4-k-net": [1]}
    assert titles(pool).count("build v4 on k") == 3


def test_a_build_for_one_suite_fails_once() -> None:
    pool = FakePool(play=failing("build v4 on k"))
    assert codes(go([cell()], pool)) == [[1]]
    assert titles(pool) == ["fetch k", "build v4 on k"]


def test_a_shard_that_fails_keeps_no_other_from_running() -> None:
    pool = FakePool(play=failing("test v4 on k, kvm 1/3", code=3))
    took = {"kvm/a_test": 50.0, "kvm/b_test": 50.0}
    book = go([cell()], pool, took=took)
    assert codes(book) == [[3, 0, 0]]
    assert titles(pool).count("test v4 on k, kvm 1/3") == 3


def test_what_was_lost_is_told() -> None:
    watcher = Watcher()
    pool = FakePool(play=lambda job, worker, n: "it died" if n == 1 else outcome(job, 0, worker))
    go([cell()], pool, watcher=watcher)
    assert watcher.lines[:2] == ["fetch k: the host failed (it died), tried again", "fetch k: done"]
    assert watcher.lines[-1] == "cell v4 on k, kvm: 0"


# --- going on ------------------------------------------------------------------------------


class DiedError(Exception):
    """The client, in mid-run."""


def dying(after: int) -> tuple[Play, list[int]]:
    count = [0]

    def play(job: Job, worker: str, _: int) -> Outcome:
        count[0] += 1
        if count[0] > after:
            raise DiedError
        return outcome(job, 1 if job.kind is Kind.TEST and "v5" in job.title else 0, worker)

    return play, count


CELLS = [cell(), cell("v5"), cell(suite="net"), cell("v6", baseline=True)]
TOOK = {"kvm/a_test": 50.0, "kvm/b_test": 50.0, "net/a_test": 70.0}


@given(st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=30)
def test_the_same_command_goes_on_and_repeats_no_test(first: int, second: int) -> None:
    book = FakeBook()
    done: list[str] = []
    for after in (first, second, 1000):
        play, _ = dying(after)
        pool = FakePool(play=play)
        book.cells = {}
        try:
            go(CELLS, pool, book, took=TOOK)
        except DiedError:
            assert pool.stopped
            done += titles(pool)[:-1]
        else:
            done += titles(pool)
            break
    tests = [title for title in done if title.startswith("test ")]
    # Of jobs that ended beside the one in which the client died, nobody wrote anything down.
    assert len(tests) == len(set(tests))
    whole = go(CELLS, FakePool(play=dying(1000)[0]), took=TOOK)
    ends = {name: [e.outcome.exit_code for _, e in parts] for name, parts in book.cells.items()}
    assert ends == {
        name: [e.outcome.exit_code for _, e in parts] for name, parts in whole.cells.items()
    }


def test_what_failed_for_the_host_s_sake_is_tried_again_by_the_next_command() -> None:
    book = go([cell()], FakePool(play=failing("test v4 on k, kvm", code=3)))
    assert codes(book) == [[3]]
    book.cells = {}
    go([cell()], FakePool(), book)
    assert codes(book) == [[0]]


def test_a_build_that_failed_is_not_made_again() -> None:
    book = go([cell()], FakePool(play=failing("build v4 on k")))
    book.cells = {}
    pool = FakePool()
    go([cell()], pool, book)
    assert (codes(book), titles(pool)) == ([[1]], [])


# --- at large ------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.sampled_from(["v4", "v5"]), st.sampled_from("kl"),
                  st.sampled_from(["kvm", "net", ""]), st.booleans()),
        min_size=1, max_size=8, unique_by=lambda each: each[:3],
    ),
    st.data(),
)  # fmt: skip
@settings(max_examples=60)
def test_each_cell_ends_once_whatever_fails(
    wanted: list[tuple[str, str, str, bool]], data: st.DataObject
) -> None:
    def play(job: Job, worker: str, attempt: int) -> Outcome | str:
        how = data.draw(st.sampled_from([0, 0, 0, 0, 1, 2, 3, -1]))
        return "lost" if how < 0 else outcome(job, how, worker)

    cells = [cell(series, kernel, suite, baseline=whole) for series, kernel, suite, whole in wanted]
    pool = FakePool({"one": WHOLE, "two": WHOLE}, play)
    watcher = Watcher()
    book = go(cells, pool, took=TOOK, watcher=watcher)
    assert sorted(book.cells) == sorted(each.name for each in planned(*cells))
    assert sorted(pool.released) == sorted(pool.given)
    assert not pool._running
    last = watcher.progress[-1]
    assert (sum(last.ended.values()), last.unknown, last.waiting) == (len(cells), 0, {})
    for parts in book.cells.values():
        for _, ended in parts:
            assert 1 <= ended.attempts <= 3
            assert ended.attempts == 1 or ended.outcome.exit_code in (0, 1, 2, 3)


def test_ctrl_c_stops_what_runs() -> None:
    def play(job: Job, worker: str, _: int) -> Outcome:
        raise KeyboardInterrupt

    pool = FakePool(play=play)
    with pytest.raises(KeyboardInterrupt):
        go([cell()], pool)
    assert pool.stopped


def test_a_job_has_a_folder_below_the_matrix_s() -> None:
    (its,) = planned(replace(cell(kernel="git:/srv/x@v1"), profile="a/b"))
    assert its.name.startswith("v4-git-srv-x-v1-a-b-kvm-")
    assert jobs.test(RUN, its, (2, 3), ["x"], 0).folder == f"cells/{its.name}/shard-2"
    assert jobs.test(RUN, its, (1, 1), ["x"], 0).folder == f"cells/{its.name}"
    assert jobs.whole(RUN, its).folder == f"cells/{its.name}"
    assert jobs.fetch(RUN, "k").folder == ""
