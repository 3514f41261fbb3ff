"""What the workers do with each mutant: build it, try it, and keep its verdict."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from toolkit.core.model.mutation import Fate, Mutant, Verdict
from toolkit.mutate.order import Covered, Order
from toolkit.mutate.store import Store
from toolkit.mutate.trial import Trial
from toolkit.mutate.workshop import Bench, Built, Workshop
from toolkit.testing import leaf_ids


@dataclass(frozen=True, slots=True)
class Item:
    """A mutant to try, and how many before it in the order count for the sample already."""

    mutant: Mutant
    before: int


@dataclass(frozen=True, slots=True)
class Made:
    """A mutant and what was built of it; None takes a build of its own."""

    mutant: Mutant
    built: Built | None


@dataclass(slots=True)
class Crew:
    """What the workers do with a mutant: :class:`toolkit.mutate.shift.Work`."""

    workshop: Workshop
    trial: Trial
    covered: Covered
    order: Order
    store: Store
    progress: Callable[[Mutant, Verdict], None]
    notice: Callable[[str], None]
    sample: int | None
    _claims: dict[str, str] = field(default_factory=dict)
    _announced: set[str] = field(default_factory=set)  # what takes a build of its own
    _tried: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def remember(self, known: Sequence[Mutant]) -> None:
        """Learn from the verdicts that are stored: who compiles to what, and who killed whom."""
        for mutant in known:
            verdict = self.store.get(mutant.id)
            if verdict is None:
                continue
            if verdict.code and verdict.fate.counts:
                self._claims[verdict.code] = mutant.id
            if verdict.fate is Fate.KILLED:
                self.order.learn(mutant, _program(verdict.by))

    @contextlib.contextmanager
    def bench(self, batch: Sequence[Item]) -> Iterator[Bench]:
        """Lend the finished build folder."""
        with self.workshop.open() as bench:
            for path in {item.mutant.file for item in batch}:
                bench.part(path)
            yield bench

    def make(self, bench: Bench, item: Item) -> Made | None:
        """Build a mutant, unless the sample is complete or no program runs its line."""
        mutant = item.mutant
        with self._lock:
            if self.sample is not None and item.before + self._tried >= self.sample:
                return None
        built = self.workshop.quick(bench, mutant, lambda code: self._claim(code, mutant))
        if built is None:
            self._announce(bench, mutant)
        return self._ready(Made(mutant, built))

    def comes_last(self, made: Made) -> bool:
        """Return whether a mutant takes a build of its own.

        The build folder of the series goes from one such mutant to the next then, and not back to
        the series between them.
        """
        return made.built is None

    def _announce(self, bench: Bench, mutant: Mutant) -> None:
        """Say once of a file, or of a fault by hand, what its mutants cost."""
        name = mutant.fault or mutant.file
        with self._lock:
            if name in self._announced:
                return
            self._announced.add(name)
        what = f"the fault {name}" if mutant.fault else f"each mutant of {name}"
        self.notice(f"{what} comes last: it takes a build of {bench.reach(mutant)}")

    def _claim(self, code: str, mutant: Mutant) -> str:
        with self._lock:
            return self._claims.setdefault(code, mutant.id)

    def _ready(self, made: Made) -> Made | None:
        """Return what is to be tried; what has its verdict already is done."""
        if made.built and made.built.verdict:
            self._keep(made.mutant, made.built.verdict)
            return None
        with self._lock:
            self._tried += 1
        return made

    def attempt(self, made: Made) -> None:
        """Try a mutant on the programs that run its line."""
        mutant = made.mutant
        built = made.built or self.workshop.whole(mutant, lambda code: self._claim(code, mutant))
        if built.kernel is None:
            assert built.verdict is not None
            self._keep(mutant, built.verdict)
            return
        try:
            programs = self.order.sorted(mutant, self.covered.of(mutant))
            verdict = self.trial.of(built.kernel, programs)
        finally:
            self.workshop.forget(built.kernel)
        if verdict.fate is Fate.KILLED:
            self.order.learn(mutant, _program(verdict.by))
        self._keep(mutant, replace(verdict, code=built.code))

    def _keep(self, mutant: Mutant, verdict: Verdict) -> None:
        self.store.keep(mutant.id, verdict)
        self.progress(mutant, verdict)


def _program(leaf: str) -> str:
    """Return the program of a leaf, ``suite/program``."""
    suite, program, _ = leaf_ids.split(leaf)
    return f"{suite}/{program}"
