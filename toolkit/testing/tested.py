"""What was tested: the leaves of a run's programs, and all that they were judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.core.model.machine import Splat
from toolkit.core.model.series import KnownFailure
from toolkit.core.model.testing import Leaf, RawRun, Status, TestProgram
from toolkit.testing import classify, verdicts
from toolkit.testing.classify import Observation, Side
from toolkit.testing.leaf_ids import BOOT


@dataclass(frozen=True, slots=True)
class Tested:
    """What a kernel's tests gave.

    ``programs`` are the leaves in the order of the suites, ``observed`` what each single run of a
    program gave, and ``seconds`` the longest of these, both by ``suite/program``. Of ``runs`` of
    programs, ``recalled`` came from the result cache.
    """

    boot_splats: tuple[Splat, ...] = ()
    program_splats: tuple[Splat, ...] = ()
    programs: tuple[Leaf, ...] = ()
    observed: Mapping[str, tuple[Observation, ...]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    runs: int = 0
    recalled: int = 0

    @property
    def boot(self) -> Observation:
        """The leaf of a kernel that complained while booting; none of any other."""
        return (verdicts.dmesg_leaf(BOOT, self.boot_splats),) if self.boot_splats else ()

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """All leaves: the boot's, then those of the programs."""
        return (*self.boot, *self.programs)

    @property
    def splats(self) -> tuple[Splat, ...]:
        """All that the kernel complained of, and during what."""
        return (*(replace(each, during=BOOT) for each in self.boot_splats), *self.program_splats)

    @property
    def side(self) -> Side:
        """The same as one side of a comparison."""
        return Side(self.observed, self.boot)


MAX_LEAVES = 100_000  # of a run; all kselftests and KUnit tests of a kernel have a third of that
MAX_TEXT = 8 << 20  # characters of a run's splats; beyond it a splat is its title alone
_MAX_BAD = 1000  # of a program that goes beyond MAX_LEAVES


class Collector:
    """Adds up what programs gave, each ``repeat`` times; ``folder`` gets their logs.

    One program is bounded where it is read. Here all of them are: what the kernel and the tests
    print of many must fit into the host's memory as well.
    """

    def __init__(self, folder: Path, known: Sequence[KnownFailure], repeat: int) -> None:
        self._folder = folder
        self._known = known
        self._repeat = repeat
        self._leaves: dict[TestProgram, tuple[Leaf, ...]] = {}
        self._splats: list[Splat] = []
        self._observed: dict[str, list[Observation]] = {}
        self._by_case: dict[str, dict[str, list[Observation]]] = {}  # by suite/program, then case
        self._seconds: dict[str, float] = {}
        self._leaves_left = MAX_LEAVES
        self._text_left = MAX_TEXT

    def tested(self, order: Sequence[TestProgram], boot_splats: tuple[Splat, ...]) -> Tested:
        """Return the sum so far, with leaves in the ``order`` of the programs."""
        return Tested(
            boot_splats=boot_splats,
            program_splats=tuple(self._splats),
            programs=tuple(leaf for each in order for leaf in self._leaves.get(each, ())),
            observed={name: tuple(given) for name, given in self._observed.items()},
            seconds=dict(self._seconds),
        )

    def expect_cases(self, program: TestProgram, cases: Sequence[str]) -> None:
        """Expect the cases of a program one by one; its leaves are whole when all have come."""
        self._by_case[f"{program.suite}/{program.name}"] = {case: [] for case in cases}

    def add_unstarted(self, program: TestProgram, leaf: Leaf) -> None:
        """Add the leaf of a program that was not started."""
        self._leaves[program] = (leaf,)
        self._observed[f"{program.suite}/{program.name}"] = [(leaf,)]

    def add(self, program: TestProgram, raw: RawRun) -> tuple[Leaf, ...]:
        """Add one run of a program, or of a case; return the program's leaves if it was the last.

        Its logs are written.
        """
        name = f"{raw.suite}/{raw.program}"
        observed = self._observed.setdefault(name, [])
        self._seconds[name] = max(raw.seconds, self._seconds.get(name, 0.0))
        place = self._folder / "tests"
        write_logs(raw, place if self._repeat == 1 else place / f"run-{self._number(raw)}")
        self._splats += [self._short(replace(each, during=name)) for each in raw.splats]
        observed += [self._few(name, each) for each in self._whole_program(name, raw)]
        if len(observed) < self._repeat:
            return ()
        leaves = tuple(verdicts.mark_known(classify.merged(observed), self._known))
        self._leaves[replace(program, case="")] = leaves
        return leaves

    def _few(self, name: str, leaves: Observation) -> Observation:
        """Return what a run of a program gave; without what is good, and an error, beyond bounds.

        Its log has all of it.
        """
        if len(leaves) <= self._leaves_left:
            self._leaves_left -= len(leaves)
            return leaves
        why = (
            f"its {len(leaves):,} results are more than a run keeps ({MAX_LEAVES:,} of all "
            "programs): of these only bad ones are kept"
        )
        bad = [leaf for leaf in leaves if leaf.status.bad and leaf.id != f"{name}/flood"]
        return (*bad[:_MAX_BAD], Leaf(f"{name}/flood", Status.ERROR, why))

    def _short(self, splat: Splat) -> Splat:
        if len(splat.text) > self._text_left:
            splat = replace(splat, text=splat.title)
        self._text_left -= len(splat.text)
        return splat

    def _number(self, raw: RawRun) -> int:
        """Return the number, from 1, of this run of its program or case."""
        name = f"{raw.suite}/{raw.program}"
        cases = self._by_case.get(name)
        return 1 + len(cases[raw.case] if cases else self._observed[name])

    def _whole_program(self, name: str, raw: RawRun) -> list[Observation]:
        """Return the observation of a whole program that this run completes, if it does.

        A program whose cases run one by one is complete when each of them has run once more.
        """
        cases = self._by_case.get(name)
        if cases is None:
            return [verdicts.judge(raw)]
        before = min(map(len, cases.values()))
        cases[raw.case].append(verdicts.judge(raw))
        if min(map(len, cases.values())) == before:
            return []
        return [verdicts.joined(given[before] for given in cases.values())]


def write_logs(raw: RawRun, folder: Path) -> None:
    """Write what a run of a program gave below ``folder``; a case's is added to its program's."""
    logs = folder / raw.suite
    logs.mkdir(parents=True, exist_ok=True)
    for end, text in (("", raw.stdout), (".stderr", raw.stderr), (".console", raw.console)):
        if text or not end:
            with (logs / f"{raw.program}{end}.log").open("a" if raw.case else "w") as log:
                log.write(text)
