"""Runs test programs again on two kernels, in fresh machines, until a difference is settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from toolkit.core.model.comparison import Repeats
from toolkit.core.model.testing import Leaf, TestProgram
from toolkit.testing import significance
from toolkit.testing.runner import Runner
from toolkit.testing.significance import LOOKS, Tally

Progress = Callable[[int, int, str], None]  # runs done, runs in this round, what is repeated


@dataclass(frozen=True, slots=True)
class Question:
    """Whether a leaf shows something more often after a change than before it.

    ``shown`` returns whether one run showed it, given the leaf, or None where it did not report.
    ``less``: whether the leaf shows it less often.
    """

    id: str
    program: TestProgram
    shown: Callable[[Leaf | None], bool]
    less: bool = False


def settle(
    questions: Sequence[Question],
    before: Runner,
    after: Runner,
    *,
    confidence: float,
    progress: Progress,
) -> dict[str, Repeats]:
    """Return the answer to each question by its id.

    One program is repeated for all questions about it. Raises what a lost machine raises.
    """
    counts = {question.id: (Tally(), Tally()) for question in questions}
    answers: dict[str, Repeats] = {}
    left = list(questions)
    runs = 0
    for wanted in LOOKS:
        programs = list(dict.fromkeys(question.program for question in left))
        batch = [program for program in programs for _ in range(wanted - runs)]
        names = ", ".join(program.name for program in programs)
        runs = wanted
        for done, (side, program, leaves) in enumerate(_both(before, after, batch), 1):
            for question in left:
                if question.program == program:
                    shown = question.shown(leaves.get(question.id))
                    counts[question.id] = _plus(counts[question.id], side, shown)
            progress(done, 2 * len(batch), names)
        for question in left:
            tallies = counts[question.id]
            answers[question.id] = significance.look(
                *tallies, less=question.less, confidence=confidence
            )
        left = [
            question
            for question in left
            if not significance.enough(answers[question.id], less=question.less)
        ]
        if not left:
            break
    return answers


def _both(
    before: Runner, after: Runner, batch: Sequence[TestProgram]
) -> Iterator[tuple[int, TestProgram, dict[str, Leaf]]]:
    for side, runner in enumerate((before, after)):
        for program, leaves in runner.again(batch):
            yield side, program, {leaf.id: leaf for leaf in leaves}


def _plus(tallies: tuple[Tally, Tally], side: int, shown: bool) -> tuple[Tally, Tally]:
    before, after = tallies
    return (before.plus(shown), after) if side == 0 else (before, after.plus(shown))
