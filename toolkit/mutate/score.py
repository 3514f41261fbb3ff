"""How a series' tests did: the score, how sure it is, and a sample of its mutants. Pure."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from toolkit.core.model.mutation import Fate, Mutated, OperatorRow

_Z = 1.959964  # of a normal distribution: 95 % lie nearer to its mean
T = TypeVar("T")


def score(killed: int, survived: int) -> float | None:
    """Return the percentage of the mutants that count which were killed; None: none counts."""
    total = killed + survived
    return 100.0 * killed / total if total else None


def interval(killed: int, total: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a score in per cent, by Wilson's formula; None without mutants.

    It holds for mutants drawn at random, and for few of them and scores near 100 % as well
    (Wilson 1927; Brown, Cai and DasGupta 2001).
    """
    if not total:
        return None
    share = killed / total
    middle = share + _Z**2 / (2 * total)
    spread = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    scale = 1 + _Z**2 / total
    low, high = (middle - spread) / scale, (middle + spread) / scale
    return (
        0.0 if not killed else max(0.0, 100 * low),
        100.0 if killed == total else min(100.0, 100 * high),
    )


def shuffled(mutants: Sequence[T], seed: int) -> list[T]:
    """Return the mutants in the order in which they are tried.

    It is a random one, so the first N are a fair sample, and so are those that an interrupted run
    came to.
    """
    order = list(mutants)
    random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    return order


def rows(mutants: Iterable[Mutated], meanings: Mapping[str, str]) -> tuple[OperatorRow, ...]:
    """Return how the mutants of each operator fared, in the order of ``meanings``."""
    counts: dict[str, dict[str, int]] = {}
    for each in mutants:
        row = counts.setdefault(each.mutant.operator, {})
        row[each.verdict.fate] = row.get(each.verdict.fate, 0) + 1
        if each.verdict.fate is Fate.SURVIVED and each.explained:
            row["explained"] = row.get("explained", 0) + 1
    return tuple(
        OperatorRow(name, meaning, **{str(key): number for key, number in counts[name].items()})
        for name, meaning in meanings.items()
        if name in counts
    )
