from __future__ import annotations

import pytest

from toolkit.core.model.machine import GuestImage, Splat
from toolkit.host import limits
from toolkit.vm import factory


def an_image(*, cpus: int = 2, memory: int = 512) -> GuestImage:
    return GuestImage("it", "key", None, None, (), memory, cpus, "q35", (), "dropbear")


@pytest.mark.parametrize(
    ("accelerator", "lockdep", "memory", "machines"),
    [
        ("tcg", False, 512, 4),
        ("tcg", False, 1800, 1),
        ("tcg", False, 9000, 1),
        ("tcg", True, 512, 2),
        ("kvm", True, 512, 4),
    ],
)
def test_as_many_machines_work_as_the_host_has_capacity_for(
    monkeypatch: pytest.MonkeyPatch,
    accelerator: str,
    memory: int,
    machines: int,
    *,
    lockdep: bool,
) -> None:
    monkeypatch.setattr(limits, "cpus", lambda: 4)
    monkeypatch.setattr(limits, "available_mib", lambda: 4000)
    word = "CONFIG_PROVE_LOCKING=y" if lockdep else "# CONFIG_PROVE_LOCKING is not set"
    config = f"CONFIG_SMP=y\n{word}\nCONFIG_KVM=m\n"
    assert factory.working_at_a_time(an_image(memory=memory), accelerator, config) == machines


def test_there_is_always_capacity_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "cpus", lambda: 1)
    assert factory.working_at_a_time(an_image(cpus=4), "tcg", "CONFIG_PROVE_LOCKING=y\n") == 1


@pytest.mark.parametrize(("cpus", "machines"), [(1, 4), (2, 2), (3, 1), (8, 1)])
def test_as_many_are_restored_at_a_time_as_their_cpus_have_cores(
    monkeypatch: pytest.MonkeyPatch, cpus: int, machines: int
) -> None:
    monkeypatch.setattr(limits, "cpus", lambda: 4)
    assert factory.restored_at_a_time(an_image(cpus=cpus)) == machines


def test_a_complaint_is_the_same_in_another_process_and_on_another_cpu() -> None:
    first = Splat("warning", "WARNING: CPU: 0 PID: 71 at a.c:1", "", fatal=False, line=1)
    other = Splat("oops", "Oops: 0002", "", fatal=False, line=9)
    again = Splat("warning", "WARNING: CPU: 1 PID: 73 at a.c:1", "", fatal=False, line=4)
    assert factory.merged((first, again), (again, other)) == (first, again, other)
