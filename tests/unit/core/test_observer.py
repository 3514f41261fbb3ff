from __future__ import annotations

from toolkit.core.observer import PrefixedObserver, Silent


def test_another_kernel_s_run_waits_under_its_own_name() -> None:
    class Ear(Silent):
        def waiting(self, what: str, whom: str) -> None:
            heard.append((what, whom))

    heard: list[tuple[str, str]] = []
    PrefixedObserver(Ear(), "base").waiting("the build of v4", "pid 7")
    assert heard == [("base: the build of v4", "pid 7")]
