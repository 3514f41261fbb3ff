"""Cut the programs of a cell into shards that take about as long as each other."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence

MAX_SHARDS = 64  # of one cell


def cut(
    programs: Sequence[str], took: Mapping[str, float], target: float
) -> tuple[tuple[tuple[str, ...], ...], tuple[float, ...]]:
    """Return the programs of each shard, and the seconds that each may take; the longest first.

    ``took`` has the seconds of programs that have run before, and ``target`` those that a shard
    should take. What has never run counts as much as the mean of the others. Where nothing has,
    there is one shard: how many would be worth their start nobody knows.
    """
    names = list(dict.fromkeys(programs))
    known = [took[name] for name in names if name in took]
    if not known:
        return (tuple(names),), (0.0,)
    mean = sum(known) / len(known)
    seconds = {name: took.get(name, mean) for name in names}
    count = min(math.ceil(sum(seconds.values()) / target) or 1, len(names), MAX_SHARDS)
    # Longest processing time first: each program goes to the shard that has the least so far.
    loads = [(0.0, number) for number in range(count)]
    shards: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(names, key=lambda name: (-seconds[name], name)):
        load, number = heapq.heappop(loads)
        shards[number].append(name)
        heapq.heappush(loads, (load + seconds[name], number))
    ordered = sorted(loads, key=lambda entry: (-entry[0], entry[1]))
    return (
        tuple(tuple(shards[number]) for _, number in ordered),
        tuple(load for load, _ in ordered),
    )
