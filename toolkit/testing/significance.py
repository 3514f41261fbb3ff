"""Whether something is seen more often on one side than on the other, or only seems so.

A test that fails once may be broken or flaky. So it is repeated on both sides, and after each of
a few *looks* at the counts Fisher's exact test says how likely they are if the sides do not
differ. The error that the stated confidence allows is spread evenly over the looks (Bonferroni),
so that looking often does not make a difference out of chance. What raised the question is not
among the counts: it was chosen for being odd.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.core.model.comparison import Repeats

# Runs on each side by then; 6 is the least that tells never from always.
LOOKS = (6, 12, 24, 48, 96)
CONFIDENCE = 0.99
_RARE_FROM = 24  # after so many runs what was not seen again is not waited for any longer
_HOPELESS_FROM = 48
_HOPELESS = 0.3  # so large a p will hardly fall below the threshold any more


@dataclass(frozen=True, slots=True)
class Tally:
    """In how many of so many runs something was seen."""

    seen: int = 0
    runs: int = 0

    def plus(self, seen: bool) -> Tally:
        """Return the tally with one run more."""
        return Tally(self.seen + seen, self.runs + 1)


def look(
    before: Tally, after: Tally, *, less: bool = False, confidence: float = CONFIDENCE
) -> Repeats:
    """Return what the counts say of "seen more often after than before"; ``less``: less often.

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
    """Return Fisher's exact test, one-sided: that ``more`` is so far above ``fewer`` by chance."""
    # Half a second to import, and most runs have nothing to ask.
    from scipy import stats  # noqa: PLC0415

    table = [[more.seen, more.runs - more.seen], [fewer.seen, fewer.runs - fewer.seen]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def enough(found: Repeats, *, less: bool = False) -> bool:
    """Return whether further looks are pointless: it is established, or will hardly ever be."""
    runs = min(found.before_runs, found.after_runs)
    if found.established or runs >= LOOKS[-1]:
        return True
    if runs >= _RARE_FROM and not (found.before_seen if less else found.after_seen):
        return True
    return runs >= _HOPELESS_FROM and found.p > _HOPELESS
