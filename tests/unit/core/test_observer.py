from __future__ import annotations

from toolkit.core.observer import PrefixedObserver, Silent, WithinStage


def test_another_kernel_s_run_waits_under_its_own_name() -> None:
    class Ear(Silent):
        def waiting(self, what: str, whom: str) -> None:
            heard.append((what, whom))

    heard: list[tuple[str, str]] = []
    PrefixedObserver(Ear(), "base").waiting("the build of v4", "pid 7")
    assert heard == [("base: the build of v4", "pid 7")]


def test_what_is_built_on_the_way_is_progress_of_the_stage_that_needs_it() -> None:
    heard: list[tuple[object, ...]] = []

    class Ear(Silent):
        def stage_progress(self, name: str, done: int, total: int | None, text: str = "") -> None:
            heard.append((name, done, total, text))

    within = WithinStage(Ear(), "mutants")
    within.stage_progress("build", 34, 2088, "CC fs/exec.o")
    within.stage_progress("build", 34, None)
    assert heard == [
        ("mutants", 0, None, "build 34/2088 CC fs/exec.o"),
        ("mutants", 0, None, "build"),
    ]
