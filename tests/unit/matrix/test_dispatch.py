from __future__ import annotations

import pytest

from tests.unit.matrix.fake_pool import (
    BUILD,
    KVM,
    RUN,
    VERSION,
    VM,
    WHOLE,
    FakePool,
    cell,
    outcome,
    planned,
)
from toolkit.matrix import jobs, offers
from toolkit.matrix.dispatch import Dispatcher, Done, Task
from toolkit.matrix.jobs import Job
from toolkit.matrix.offers import Offers
from toolkit.matrix.outcome import Ended


def fetch(kernel: str = "debian:6.12", **more: object) -> Task:
    return Task(jobs.fetch(RUN, kernel), kernel, **more)  # type: ignore[arg-type]


def test_job(
    memory: int = 512, seconds: float = 0.0, accel: str = "auto", suite: str = "kvm"
) -> Task:
    (its,) = planned(cell(accel=accel, suite=suite))
    return Task(jobs.test(RUN, its, (1, 1), (), memory), its, seconds=seconds)


def build_job() -> Task:
    group = jobs.Group("g", tuple(planned(cell())))
    return Task(jobs.build(RUN, group), group)


test_job.__test__ = False  # type: ignore[attr-defined]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def dispatcher(
    pool: FakePool, patience: float = 0.0, clock: Clock | None = None
) -> tuple[Dispatcher, list[tuple[Job, Ended]]]:
    again: list[tuple[Job, Ended]] = []
    made = Dispatcher(
        pool, VERSION, patience, lambda job, ended: again.append((job, ended)), clock or Clock()
    )
    return made, again


def finish(made: Dispatcher) -> list[Done]:
    done: list[Done] = []
    for _ in range(1000):
        if not made.busy:
            return done
        done += made.step(0.1)
    raise AssertionError("it does not end")


def test_a_pool_gets_twice_as_many_jobs_as_it_has_workers_for_them() -> None:
    pool = FakePool({"one": WHOLE, "two": WHOLE, "builder": {**WHOLE, VM: 0}})
    made, _ = dispatcher(pool)
    for number in range(20):
        made.add(test_job(suite=f"s{number}"))
    assert len(finish(made)) == 20
    assert pool.most == 4


def test_jobs_for_few_workers_do_not_keep_the_others_idle() -> None:
    """Ten jobs that need the one KVM, and another that needs none."""
    pool = FakePool({"one": WHOLE, "kvm": {**WHOLE, KVM: 1}})
    made, _ = dispatcher(pool)
    for number in range(10):
        made.add(test_job(accel="kvm", suite=f"s{number}"))
    made.add(test_job())
    made.step(0)
    assert sum(("kvm", 1) not in given.job.needs for given in pool.given.values()) >= 1
    assert any((KVM, 1) not in given.job.needs for given in pool.given.values())


def test_what_ends_a_cell_goes_first_and_the_longest_of_these() -> None:
    pool = FakePool()
    made, _ = dispatcher(pool)
    short, long = test_job(seconds=5, suite="short"), test_job(seconds=500, suite="long")
    for task in (fetch(), short, long):
        made.add(task)
    ended = [done.task.job.title for done in finish(made)]
    assert ended == [long.job.title, short.job.title, "fetch debian:6.12"]


def test_only_the_infrastructure_is_tried_again_and_twice_at_most() -> None:
    pool = FakePool(
        {"one": WHOLE, "two": WHOLE, "three": WHOLE},
        lambda job, worker, _: outcome(job, 3, worker, "no space left"),
    )
    made, again = dispatcher(pool)
    made.add(test_job())
    (done,) = finish(made)
    assert (done.ended.attempts, done.ended.outcome.exit_code) == (3, 3)
    assert [ended.attempts for _, ended in again] == [1, 2]
    assert len({worker for _, worker in pool.done}) == 3, "each time on another worker"


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_verdict_is_never_tried_again(code: int) -> None:
    pool = FakePool(play=lambda job, worker, _: outcome(job, code, worker))
    made, again = dispatcher(pool)
    made.add(test_job())
    (done,) = finish(made)
    assert (done.ended.attempts, done.ended.outcome.exit_code, again) == (1, code, [])


def test_where_there_is_one_worker_it_is_tried_there_again() -> None:
    pool = FakePool(play=lambda job, worker, n: outcome(job, 3 if n == 1 else 0, worker))
    made, _ = dispatcher(pool)
    made.add(test_job())
    (done,) = finish(made)
    assert (done.ended.attempts, done.ended.outcome.exit_code) == (2, 0)


def test_a_worker_that_dies_is_the_infrastructure() -> None:
    pool = FakePool(play=lambda job, worker, n: "it died" if n == 1 else outcome(job, 0, worker))
    made, again = dispatcher(pool)
    made.add(test_job())
    (done,) = finish(made)
    assert (done.ended.attempts, done.ended.outcome.exit_code) == (2, 0)
    assert again[0][1].outcome.message == "it died"


def without(*names: str) -> Offers:
    return {name: amount for name, amount in WHOLE.items() if name not in names}


@pytest.mark.parametrize(
    ("workers", "task", "why"),
    [
        ({}, test_job(), "there is no worker"),
        ({"one": without(VM)}, test_job(), "worker one lacks QEMU for x86_64"),
        ({"one": WHOLE}, test_job(8192), "worker one lacks 8192 MiB of memory"),
        ({"one": WHOLE}, test_job(accel="kvm"), "worker one lacks a usable /dev/kvm for x86_64"),
        (
            {str(n): without(BUILD) for n in range(5)},
            build_job(),
            "worker 0, 1, 2 and 2 more lacks some of what builds for x86_64 need (toolkit doctor "
            "names it)",
        ),
        (
            {"old": {**without(offers.of_version(VERSION)), "toolkit 0.9 (xyz)": 1}, "x": {}},
            fetch(),
            "worker old lacks this toolkit 1.0 (abc) (it has 0.9 (xyz)); worker x lacks this "
            "toolkit 1.0 (abc) (it has none), kernel sources",
        ),
    ],
)
def test_what_no_worker_can_do_is_given_up_with_the_reason(
    workers: dict[str, Offers], task: Task, why: str
) -> None:
    made, again = dispatcher(FakePool(workers))
    made.add(task)
    (done,) = finish(made)
    assert (done.ended.outcome.exit_code, done.ended.outcome.message) == (3, why)
    assert (done.handle, again) == (None, [])


def test_a_worker_may_come_late() -> None:
    clock, pool = Clock(), FakePool({})
    made, _ = dispatcher(pool, 60, clock)
    made.add(test_job())
    assert made.step(0) == []
    clock.now = 59
    assert made.step(0) == []
    pool.workers["late"] = WHOLE
    clock.now = 100
    (done,) = finish(made)
    assert done.ended.outcome.exit_code == 0


def test_a_kernel_goes_to_the_host_that_has_built_it_before() -> None:
    home = offers.at_home("git:/srv/linux@v6.13")
    pool = FakePool({"one": WHOLE, "two": {**WHOLE, home: 1}})
    made, _ = dispatcher(pool)
    made.add(fetch("git:/srv/linux@v6.14", at_home=offers.at_home("git:/srv/linux@v6.14")))
    made.add(fetch("debian:6.12", at_home=offers.at_home("debian:6.12")))
    finish(made)
    assert [sorted(given.on) for given in pool.given.values()] == [["two"], []]


def test_what_a_client_missed_is_asked_of_the_worker_that_has_it() -> None:
    pool = FakePool({"one": WHOLE, "two": WHOLE})
    pool.keepers = {fetch().job.name: "two", test_job().job.name: "gone"}
    made, _ = dispatcher(pool)
    made.add(fetch())
    made.add(test_job())
    finish(made)
    assert {given.job.name: sorted(given.on) for given in pool.given.values()} == {
        fetch().job.name: ["two"],
        test_job().job.name: [],
    }


def test_what_waits_for_workers_that_are_gone_goes_to_the_others() -> None:
    home = offers.at_home("debian:6.12")
    pool = FakePool({"two": {**WHOLE, home: 1}})
    pool.wait = lambda _: []  # type: ignore[method-assign,assignment] # nothing ends yet
    made, _ = dispatcher(pool)
    made.add(fetch(at_home=home))
    made.step(0)
    pool.workers = {"one": WHOLE}
    made.step(0)
    made.step(0)
    assert [sorted(given.on) for given in pool.given.values()] == [["two"], []]
    assert pool.released == [1]


def test_it_says_what_waits() -> None:
    pool = FakePool()
    made, _ = dispatcher(pool)
    for number in range(5):
        made.add(test_job(suite=f"s{number}"))
    made.add(fetch())

    pool.wait = lambda _: []  # type: ignore[method-assign,assignment]
    made.step(0)
    assert made.waiting == {jobs.Kind.TEST: 3, jobs.Kind.FETCH: 0}
