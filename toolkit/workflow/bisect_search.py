"""Finds the first bad commit of a range, judging commits one after the other.

The repository is only read: no checkout, index, ref or bisection of the user's is touched. The
caller judges the commits; see :mod:`toolkit.workflow.bisect_judge`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import toolkit
from toolkit.core import files
from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolkitError, UserError
from toolkit.core.model.kernel import Commit
from toolkit.core.observer import Observer
from toolkit.core.text import counted, visible
from toolkit.host.git import Repository
from toolkit.workflow import bisect_state
from toolkit.workflow.bisect_state import Bisection, Judgement, Outcome, Role, Step

FILE = "bisect.json"
LOG = "bisect.log"
_STEPS = "steps"
_GIT_SECONDS = 600.0  # for one question; the list of a kernel's release cycle takes a few seconds

# Judges a commit: its name, and the folder for what shows it, to the judgement and a reason.
Judge = Callable[[str, Path], tuple[Judgement, str]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to search: the range as the caller gave it, and what is looked for in it."""

    repository: Repository
    bad: str
    good: tuple[str, ...]
    leaf: str
    repeat: int = 1
    command: tuple[str, ...] = ()


@dataclass(slots=True)
class Bisector:
    """One search. ``folder`` gets :data:`FILE`, :data:`LOG` and a folder for each step."""

    plan: Plan
    judge: Judge
    folder: Path
    observer: Observer
    _steps: list[Step] = field(default_factory=list, init=False)
    _began: float = field(default_factory=time.monotonic, init=False)
    _started: str = field(default="", init=False)

    def search(self) -> Bisection:
        """Return the result, which is in the folder as well, however this ends.

        Raises :class:`UserError` where the ends are not good and bad as the caller expects, and
        what judging raises.
        """
        self._started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        try:
            bad, good = self._ends()
            return self._narrow(bad, good)
        except KeyboardInterrupt:
            self._save(Outcome.INTERRUPTED, message="interrupted")
            raise
        except (ToolkitError, OSError) as error:
            with contextlib.suppress(OSError):  # a full disk must not hide the first error
                self._save(Outcome.STOPPED, message=str(error))
            raise

    # --- the ends ----------------------------------------------------------------------------

    def _ends(self) -> tuple[Commit, list[str]]:
        """Return the bad commit and the names of the good ones, after judging each."""
        repository, limit = self.plan.repository, _limit()
        bad = repository.commit(self.plan.bad, limit)
        goods = {name: repository.commit(name, limit) for name in self.plan.good}
        names = [good.id for good in goods.values()]
        bases = repository.merge_bases(bad.id, names, limit)
        if bad.id in bases:
            raise UserError(
                f"the bad end {self.plan.bad} does not come after the good {', '.join(goods)}",
                hint="--good is what worked before, --bad is what came later",
            )
        self._expect(bad, Role.BAD_END, self.plan.bad, Judgement.BAD)
        for name, good in goods.items():
            self._expect(good, Role.GOOD_END, name, Judgement.GOOD)
        for base in bases:
            # The search goes on between it and the bad end, and the caller did not call it good.
            if base not in names:
                self._check_base(repository.commit(base, limit))
        return bad, names

    def _expect(self, commit: Commit, role: Role, name: str, wanted: Judgement) -> None:
        step = self._step(commit, role)
        if step.judgement is wanted:
            return
        is_not = "cannot be judged" if step.judgement is Judgement.SKIP else f"is not {wanted}"
        raise UserError(
            f"{name} {is_not}: {step.reason}",
            hint=f"see {self.folder / step.folder}; name another commit for --{wanted}",
        )

    def _check_base(self, base: Commit) -> None:
        step = self._step(base, Role.MERGE_BASE)
        if step.judgement is Judgement.BAD:
            raise UserError(
                f"{base.id[:12]}, from where the good end branches off, is bad already: "
                f"{step.reason}",
                hint="what is looked for was mended on the way to the good end; "
                "name a good ancestor of the bad end",
            )
        if step.judgement is Judgement.SKIP:
            self.observer.notice(
                f"{base.id[:12]}, from where the good end branches off, cannot be judged; "
                "it is taken to be good"
            )

    # --- the search --------------------------------------------------------------------------

    def _narrow(self, bad: Commit, good: Sequence[str]) -> Bisection:
        repository = self.plan.repository
        known, skipped, goods = {bad.id: bad}, set[str](), list(good)
        while True:
            halving = repository.halving(bad.id, goods, _limit())
            name = bisect_state.following(halving, skipped)
            if name is None:
                break
            commit = known[name] = repository.commit(name, _limit())
            count = len(halving)
            steps = counted(bisect_state.steps_left(count), "step")
            self.observer.notice(f"{counted(count, 'commit')} in question, about {steps}")
            match self._step(commit, Role.MIDPOINT).judgement:
                case Judgement.GOOD:
                    goods.append(name)
                case Judgement.BAD:
                    bad = commit
                case Judgement.SKIP:
                    skipped.add(name)
        candidates = [known[name] for name in bisect_state.remaining(halving, skipped)]
        outcome = Outcome.FOUND if len(candidates) == 1 else Outcome.SEVERAL
        return self._save(outcome, candidates)

    def _step(self, commit: Commit, role: Role) -> Step:
        number = len(self._steps) + 1
        short = commit.id[:12]
        self.observer.notice(f"step {number}: {short} ({role.value}) {visible(commit.subject)}")
        place = f"{_STEPS}/{number:02d}-{short}"
        (self.folder / place).mkdir(parents=True)
        began = time.monotonic()
        judgement, reason = self.judge(commit.id, self.folder / place)
        seconds = round(time.monotonic() - began, 3)
        step = Step(commit, role, judgement, reason, seconds, place)
        self._steps.append(step)
        self.observer.notice(f"step {number}: {short} {words(judgement)}: {reason}")
        self._save(Outcome.UNFINISHED)
        return step

    def _save(
        self, outcome: Outcome, candidates: Sequence[Commit] = (), message: str = ""
    ) -> Bisection:
        result = Bisection(
            outcome=outcome,
            leaf=self.plan.leaf,
            repository=str(self.plan.repository.path),
            bad=self.plan.bad,
            good=self.plan.good,
            repeat=self.plan.repeat,
            steps=tuple(self._steps),
            candidates=tuple(candidates),
            message=message,
            command=self.plan.command,
            started=self._started,
            seconds=round(time.monotonic() - self._began, 3),
            toolkit=toolkit.__version__,
        )
        data = json.dumps(dataclasses.asdict(result), indent=2, ensure_ascii=False)
        for name, text in ((FILE, data + "\n"), (LOG, bisect_state.log(result))):
            files.replace(self.folder / name, [text.encode(errors="backslashreplace")])
        return result


def words(judgement: Judgement) -> str:
    """Return a judgement as it is read in a sentence."""
    return "cannot be judged" if judgement is Judgement.SKIP else f"is {judgement.value}"


def _limit() -> Deadline:
    return Deadline.after(_GIT_SECONDS)
