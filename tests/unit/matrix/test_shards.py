from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolkit.matrix import shards

names = st.lists(st.text("abcdef", min_size=1, max_size=3), max_size=12)
seconds = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0, 1000), max_size=9)


def test_the_longest_come_first_and_each_shard_has_as_much_as_the_others() -> None:
    took = {"a": 100.0, "b": 60.0, "c": 50.0, "d": 10.0}
    cut, loads = shards.cut(("d", "c", "b", "a"), took, 110)
    assert cut == (("a", "d"), ("b", "c"))
    assert loads == (110.0, 110.0)


def test_what_never_ran_counts_as_the_mean_of_the_others() -> None:
    cut, loads = shards.cut(("a", "new", "b"), {"a": 30.0, "b": 10.0}, 30)
    assert cut == (("a",), ("new", "b"))
    assert loads == (30.0, 30.0)


def test_where_nothing_ever_ran_there_is_one_shard() -> None:
    assert shards.cut(("b", "a"), {}, 1) == ((("b", "a"),), (0.0,))


def test_a_cell_without_programs_is_one_shard_too() -> None:
    assert shards.cut((), {"a": 3.0}, 1) == (((),), (0.0,))


def test_what_takes_no_time_is_one_shard() -> None:
    assert shards.cut(("a", "b"), {"a": 0.0, "b": 0.0}, 300) == ((("a", "b"),), (0.0,))


@given(names, seconds, st.floats(1, 500))
def test_each_program_is_in_one_shard(
    programs: list[str], took: dict[str, float], target: float
) -> None:
    cut, loads = shards.cut(programs, took, target)
    assert sorted(name for shard in cut for name in shard) == sorted(set(programs))
    assert len(cut) == len(loads) <= shards.MAX_SHARDS
    assert all(cut) or len(cut) == 1
    assert list(loads) == sorted(loads, reverse=True)
    # Nothing is longer than the longest program and a fair part of all the others.
    known = [took[name] for name in set(programs) if name in took]
    if known:
        mean = sum(known) / len(known)
        each = [took.get(name, mean) for name in set(programs)]
        assert loads[0] <= max(each) + sum(each) / len(cut) + 1e-6
