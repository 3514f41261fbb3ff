"""The selftests that the kernel tree itself has."""

from __future__ import annotations

from tests.vm.conftest import SHARED_KERNEL, Toolkit


def test_a_target_of_the_tree_is_a_suite_like_any_other(toolkit: Toolkit) -> None:
    ended = toolkit.run("build-and-test", *SHARED_KERNEL, "--test", "eventfd_test")
    assert ended.code == 0, ended
    statuses = ended.statuses()
    assert len(statuses) > 1, ended
    assert set(statuses.values()) == {"pass"}
    for name in statuses:
        assert name.startswith("upstream-filesystems-eventfd/eventfd_test/"), ended
    assert (ended.folder / "tests/upstream-filesystems-eventfd/eventfd_test.log").exists()
