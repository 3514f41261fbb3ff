"""Whether something happens more often on one side than on the other, or only seems to.

A test that fails once may be broken or flaky. So it is repeated on both sides, and after each of
a few *looks* at the counts Fisher's exact test says how likely they are if the sides do not
differ. The error that the stated confidence allows is spread evenly over the looks (Bonferroni),
so that looking often does not turn chance into a difference. The run that raised the question is
not counted: it was chosen for being odd.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolkit.core.model.comparison import Repeats

# Runs on each side by then; 6 is the least that tells never from always.
LOOKS = (6, 12, 24, 48, 96)
CONFIDENCE = 0.99
_RARE_FROM = 24  # runs after which something not seen again is not waited for any longer
_HOPELESS_FROM = 48
_HOPELESS = 0.3  # a p as large as this will hardly fall below the threshold any more


@dataclass(frozen=True, slots=True)
class Tally:
    """In how many runs something was seen, of how many."""

    seen: int = 0
    runs: int = 0

    def plus(self, seen: bool) -> Tally:
        """Return the tally with one run more."""
        return Tally(self.seen + seen, self.runs + 1)


def look(
    before: Tally, after: Tally, *, less: bool = False, confidence: float = CONFIDENCE
) -> Repeats:
    """Return how sure the counts are of "more often after than before"; ``less``: less often.

    ``confidence`` is the chance, below 1, of not taking equal sides for different over all looks.
    """
    threshold = round((1.0 - confidence) / len(LOOKS), 6)
    p = fisher(before, after) if less else fisher(after, before)
    return Repeats(
        before_seen=before.seen,
        before_runs=before.runs,
        after_seen=after.seen,
        after_runs=after.runs,
        p=p,
        threshold=threshold,
        established=p <= threshold,
    )


def fisher(more: Tally, fewer: Tally) -> float:
    """Return Fisher's exact test, one-sided: how likely ``more`` is that far above by chance.

    The tail of the hypergeometric distribution in whole numbers, rounded once, at the end.
    """
    total = more.seen + fewer.seen
    ways = sum(
        math.comb(more.runs, here) * math.comb(fewer.runs, total - here)
        for here in range(more.seen, min(more.runs, total) + 1)
    )
    return ways / math.comb(more.runs + fewer.runs, total)


def enough(repeats: Repeats, *, less: bool = False) -> bool:
    """Return whether further looks are pointless: it is established, or will hardly ever be."""
    runs = min(repeats.before_runs, repeats.after_runs)
    if repeats.established or runs >= LOOKS[-1]:
        return True
    if runs >= _RARE_FROM and not (repeats.before_seen if less else repeats.after_seen):
        return True
    return runs >= _HOPELESS_FROM and repeats.p > _HOPELESS
