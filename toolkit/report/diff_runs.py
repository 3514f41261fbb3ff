"""How two runs differ: results of cases, times of stages, kernel, toolkit and host."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from toolkit.core.model.result import RunResult
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.text import counted, visible
from toolkit.report import wording
from toolkit.report.wording import duration

MAX_LEAVES = 50  # shown of each kind
NOISE = 0.2  # a stage whose time changed by less than this share is not worth a line
LEAST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """One case in both runs; None where a run does not have it."""

    id: str
    before: Leaf | None
    after: Leaf | None

    @property
    def kind(self) -> str:
        """What became of it: broke, mended, gone, new or other."""
        if self.after is None:
            return "gone"
        bad = self.after.status.bad
        if self.before is None:
            return "new and bad" if bad else "new"
        if self.before.status.bad != bad:
            return "broke" if bad else "mended"
        return "other"


KINDS = {
    "broke": "went from good to bad",
    "new and bad": "are new, and bad",
    "gone": "are gone",
    "mended": "went from bad to good",
    "new": "are new",
    "other": "changed otherwise",
}


def changes(before: RunResult, after: RunResult) -> list[Change]:
    """Return the cases whose status differs, in the order of the later run."""
    old = {leaf.id: leaf for leaf in before.leaves}
    new = {leaf.id: leaf for leaf in after.leaves}
    pairs = [Change(name, old.get(name), leaf) for name, leaf in new.items()]
    pairs += [Change(name, leaf, None) for name, leaf in old.items() if name not in new]
    return [pair for pair in pairs if _status(pair.before) != _status(pair.after)]


def _status(leaf: Leaf | None) -> Status | None:
    return leaf.status if leaf else None


def lines(before: RunResult, after: RunResult) -> Iterator[str]:
    """Yield a comparison for a person: the verdicts, what changed, times, environment."""
    for sign, result in (("-", before), ("+", after)):
        verdict = result.verdict.value.upper()
        yield f"{sign} {verdict}: {_one_line(wording.subject(result))}, {result.started}"
    changed = changes(before, after)
    for kind, words in KINDS.items():
        yield from _cases([change for change in changed if change.kind == kind], words)
    if not changed:
        yield ""
        cases = counted(len(after.leaves), "case")
        yield f"every case has the same result ({cases})" if after.leaves else "no case in either"
    yield from _section("times", _times(before, after))
    yield from _section("made differently", _environment(before, after))


def _cases(changed: list[Change], words: str) -> Iterator[str]:
    if not changed:
        return
    yield ""
    yield f"{len(changed)} {words}:"
    for change in changed[:MAX_LEAVES]:
        old, new = (leaf.status.value if leaf else "none" for leaf in (change.before, change.after))
        yield f"  {old} -> {new}  {_one_line(change.id)}"
        if change.after and change.after.status.bad and change.after.message:
            yield f"      {_one_line(change.after.message.partition(chr(10))[0])}"
    if len(changed) > MAX_LEAVES:
        yield f"  … and {len(changed) - MAX_LEAVES} more"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    indented = [f"  {line}" for line in lines]
    if indented:
        yield from ("", f"{title}:", *indented)


def _times(before: RunResult, after: RunResult) -> Iterator[str]:
    old = {stage.name: stage for stage in before.stages}
    pairs = [(stage.name, old[stage.name], stage) for stage in after.stages if stage.name in old]
    for name, one, other in pairs:
        differs = abs(other.seconds - one.seconds)
        if differs < LEAST_SECONDS or differs < NOISE * max(one.seconds, other.seconds):
            continue
        old_time, new_time = (
            duration(stage.seconds) + (" (found in the cache)" if stage.cached else "")
            for stage in (one, other)
        )
        yield f"{_one_line(name)}: {old_time} -> {new_time}"
    yield f"whole run: {duration(before.seconds)} -> {duration(after.seconds)}"


def _environment(before: RunResult, after: RunResult) -> Iterator[str]:
    one, other = _facts(before), _facts(after)
    for name in other:
        if one[name] != other[name]:
            old, new = (_one_line(facts[name]) or "unknown" for facts in (one, other))
            yield f"{name}: {old} -> {new}"


def _facts(result: RunResult) -> dict[str, str]:
    environment = dataclasses.asdict(result.environment)
    facts = {
        "series": result.series,
        "kernel": f"{result.kernel} {result.release}",
        "accelerator": result.accelerator,
        "qemu": result.qemu,
        "toolkit": result.toolkit,
    }
    left_out = ("build", "sandbox")
    return facts | {name: str(value) for name, value in environment.items() if name not in left_out}


def _one_line(text: str) -> str:
    return visible(text)[:300]
