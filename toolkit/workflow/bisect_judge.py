"""Judge whether a leaf is good or bad on one kernel, or cannot be judged there.

The kernel is built and booted, and the leaf's program alone is run, in a run of its own with all
its reports. What is wrong with the kernel is an answer; what is wrong with the request or with the
host is raised.
"""

from __future__ import annotations

import dataclasses
import difflib
import glob
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.errors import BootError, BuildError, ToolkitError, UserError
from toolkit.core.model.machine import Splat
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.observer import Observer
from toolkit.core.paths import Paths
from toolkit.core.text import visible
from toolkit.series import catalog
from toolkit.testing import in_tree_suites, leaf_ids, suite_names, verdicts
from toolkit.testing.classify import program_of
from toolkit.testing.leaf_ids import BOOT
from toolkit.testing.result_cache import ResultCache
from toolkit.testing.tested import Tested
from toolkit.vm import coldplug
from toolkit.workflow import pipeline
from toolkit.workflow.bisect_state import Judgement
from toolkit.workflow.reached import Findings, Reached
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

DMESG = "dmesg"  # the case that is there only where the kernel complained
_ERROR = re.compile(r"\berror: |undefined reference|panic")
_UNENDED = (Status.CRASH, Status.TIMEOUT)

Answer = tuple[Judgement, str]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a kernel: how a leaf of one of these suites is.

    ``leaf`` is ``suite/program/case``; ``suite/program`` stands for all cases of a program, and
    ``boot`` or ``boot/dmesg`` for a boot. It is good when it passes ``repeat`` times.
    """

    leaf: str
    suites: tuple[str, ...] = ()
    repeat: int = 1

    @property
    def of_boot(self) -> bool:
        """Whether the boot itself is judged."""
        return self.leaf.partition("/")[0] == BOOT

    @property
    def program(self) -> str:
        """The name of the program to run."""
        return self.leaf.split("/")[1]


def question(leaf: str, suites: Sequence[str], repeat: int = 1) -> Question:
    """Return the question that the caller means.

    The leaf's suite is the one it begins with, or the only one given. Raises :class:`UserError`
    where that leaves no program.
    """
    whole = leaf.strip("/")
    if whole in (BOOT, f"{BOOT}/{DMESG}"):
        return Question(whole, tuple(suites), repeat)
    if suites and not any(_begins_with(whole, name) for name in suites):
        if len(suites) > 1:
            raise UserError(f"{leaf!r} is in none of the suites {', '.join(suites)}")
        whole = f"{suite_names.name_of(suites[0])}/{whole}"
    suite, slash, rest = whole.partition("/")
    if not (suite and slash and rest) or suite.startswith(in_tree_suites.PREFIX):
        raise UserError(
            f"{leaf!r} names no test", hint="write it as result.json has it: suite/program/case"
        )
    return Question(whole, tuple(suites) or (suite,), repeat)


def _begins_with(leaf: str, suite: str) -> bool:
    if suite.startswith(in_tree_suites.PREFIX):  # each tree decides which folder that is
        return leaf.startswith(in_tree_suites.SUITE_PREFIX)
    return leaf.startswith(f"{suite_names.name_of(suite)}/")


@dataclass(slots=True)
class Judge:
    """Judges one kernel after another, each like ``request`` but for the kernel.

    ``command`` is a command with the request's own options, to which each run adds the rest of
    what repeats it. A kernel that is the same as one before, to the last byte, is not run again.
    """

    question: Question
    like: Run
    command: tuple[str, ...] = ()
    _result_cache: ResultCache = field(default_factory=ResultCache, init=False)

    def __call__(self, kernel: str, folder: Path, observer: Observer) -> Answer:
        """Judge the kernel of this source; ``folder`` gets the run, which ``observer`` hears."""
        asked = self.question
        run = Run(
            self._request(kernel),
            self.like.paths,
            folder,
            observer,
            result_cache=None if asked.of_boot else self._result_cache,
        )
        try:
            result = pipeline.build_and_test(run, boot if asked.of_boot else None)
        except BootError as error:
            return (Judgement.BAD if asked.of_boot else Judgement.SKIP), _line(error)
        except BuildError as error:
            return Judgement.SKIP, _line(error)
        except UserError as error:
            if is_of_this_kernel(run.request, run.reached, run.paths):
                return Judgement.SKIP, _line(error)
            raise
        by_run = [result.leaves]
        if asked.repeat > 1 and not asked.of_boot:
            by_run = each_time(run.runner.tested, run.runner.known, asked.leaf) or by_run
        return _together([of_leaves(asked.leaf, leaves) for leaves in by_run])

    def _request(self, kernel: str) -> Request:
        asked = self.question
        tests = () if asked.of_boot else (glob.escape(asked.program),)
        words = [("--kernel", kernel), *(("--suite", name) for name in asked.suites)]
        words += [("--test", name) for name in tests]
        return dataclasses.replace(
            self.like.request,
            kernel=kernel,
            suites=asked.suites,
            tests=tests,
            repeat=asked.repeat,
            command=(*self.command, *itertools.chain(*words)),
            step_summary=None,
            # A saved machine was booted only once.
            snapshots=self.like.request.snapshots and not asked.of_boot,
        )


def boot(run: Run) -> None:
    """Boot the kernel and run nothing; record a leaf for that, and one for its complaints."""

    def work() -> tuple[Findings, bool, str]:
        splats: list[Splat] = []
        for _ in range(run.request.repeat):
            with run.pool.boot() as guest:
                coldplug.synchronise(guest.machine, guest.session, run.deadline)
                splats += guest.machine.splats()
        tested = Tested(boot_splats=tuple(splats))
        for leaf in tested.boot:
            run.observer.test_finished(leaf)
        leaves = (*tested.boot, Leaf(BOOT, Status.PASS))
        return Findings(leaves, tested.splats), False, "it came up"

    run.record(run.stages.run(BOOT, work))


def each_time(tested: Tested, known: Sequence[KnownFailure], wanted: str) -> list[tuple[Leaf, ...]]:
    """Return the leaves of each time that the program of the wanted leaf ran."""
    observations = tested.observed.get(program_of(wanted), ())
    return [tuple(verdicts.mark_known(leaves, known)) for leaves in observations]


def _together(answers: Sequence[Answer]) -> Answer:
    """Return the one answer of several runs: good is what was good each time."""
    for judgement in (Judgement.BAD, Judgement.SKIP):
        for number, (each, reason) in enumerate(answers, 1):
            if each is judgement:
                return each, reason if len(answers) == 1 else f"{reason} (run {number})"
    reason = answers[0][1]
    return Judgement.GOOD, reason if len(answers) == 1 else f"{reason}, {len(answers)} times"


def is_of_this_kernel(request: Request, reached: Reached, paths: Paths) -> bool:
    """Return whether a run's request is at odds with this kernel alone, by how far it came."""
    if reached.tree is None:  # the series may not apply
        return reached.base is not None and _is_a_series(request.patch, paths)
    if reached.fragments is None:  # a suite of the tree's own may not be in every tree
        own = (in_tree_suites.PREFIX, in_tree_suites.SUITE_PREFIX)
        return any(name.startswith(own) or suite_names.is_kunit(name) for name in request.suites)
    if reached.config is None:
        return True  # Kconfig does not keep all of it
    return reached.machines  # there is no such program


def _is_a_series(patch: str | None, paths: Paths) -> bool:
    """Return whether there is such a series, for whichever kernel."""
    try:
        return bool(patch and catalog.resolve(patch, paths.patches))
    except UserError:
        return False


def of_leaves(wanted: str, leaves: Iterable[Leaf]) -> Answer:
    """Return the judgement of a run's leaves on the one that is wanted."""
    near = [leaf for leaf in leaves if program_of(leaf.id) == program_of(wanted)]
    if wanted == program_of(wanted) != BOOT:
        return _of_program(wanted, near)
    leaf = next((leaf for leaf in near if leaf.id == wanted), None)
    if leaf:
        return _of_leaf(leaf)
    ran = any(each.status is not Status.SKIP for each in near)
    if wanted.endswith(f"/{DMESG}") and ran and not any(each.status in _UNENDED for each in near):
        return Judgement.GOOD, "the kernel did not complain"
    names = difflib.get_close_matches(wanted, [leaf.id for leaf in near], n=3)
    hint = f"; there is {', '.join(names)}" if names else ""
    return Judgement.SKIP, f"no test reported as {wanted}{hint}"


def _of_leaf(leaf: Leaf) -> Answer:
    reason = ": ".join(filter(None, (leaf.status.value, leaf.message.split("\n")[0])))
    if leaf.status is Status.SKIP:
        return Judgement.SKIP, reason
    # What is expected to fail is as bad as before, and what was expected to and passed is good.
    good = leaf.status in (Status.PASS, Status.XPASS)
    return (Judgement.GOOD if good else Judgement.BAD), reason


def _of_program(wanted: str, leaves: Sequence[Leaf]) -> Answer:
    """Return the judgement of all leaves of a program together."""
    answers = [(leaf, *_of_leaf(leaf)) for leaf in leaves]
    for leaf, judgement, reason in answers:
        if judgement is Judgement.BAD and leaf.status is not Status.XFAIL:
            place = "" if leaf.id == wanted else f"{leaf_ids.case_name(leaf.id)}: "
            return judgement, f"{place}{reason}"
    passed = sum(judgement is Judgement.GOOD for _, judgement, _ in answers)
    if not passed:
        return Judgement.SKIP, f"no test of {wanted} was run"
    return Judgement.GOOD, f"{passed} passed"


def _line(error: ToolkitError) -> str:
    """Return an error in one line, with the best line of its evidence."""
    lines = [pipeline.within_tree(line).strip() for line in error.detail]
    best = next((line for line in lines if _ERROR.search(line)), next(filter(None, lines), ""))
    return visible(": ".join(filter(None, (error.what, best))))
