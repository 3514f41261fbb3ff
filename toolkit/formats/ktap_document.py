"""One level of a KTAP document while it is read: :mod:`toolkit.formats.ktap` finds its lines."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from toolkit.core.model.testing import Status, TestNode
from toolkit.core.text import counted

MESSAGE_LINES = 30
MESSAGE_LINE_CHARS = 400
MAX_COPIES = 8  # of one line, which a program that forks with output unflushed may give

_SEVERITY = {status: rank for rank, status in enumerate(Status)}
# kselftest_harness.h, before its first case: it says nothing of that case.
_PREAMBLE = re.compile(r"Starting \d+ tests from \d+ test cases\.")


def worst(statuses: Iterable[Status]) -> Status | None:
    """Return the most severe of ``statuses``, or None without any."""
    return min(statuses, key=_SEVERITY.__getitem__, default=None)


@dataclass(slots=True)
class _Repeat:
    """A result whose number and name had come before."""

    at: int  # where its node is among the results
    number: int
    times: int  # that the line came, the first time included
    bad: Status | None  # the worst that one of the repetitions reported
    identical: bool  # each is the first one's to the letter
    nested: list[TestNode] = field(default_factory=list)  # in the third and those after it


@dataclass(slots=True)
class Document:
    """One level of nesting. ``lead`` is what its lines begin with."""

    lead: str
    headed: bool = False  # a TAP version line was seen: results may lack numbers
    numbered: bool = False  # … but these have some
    plan: int | None = None
    skipped: str | None = None  # the reason behind 1..0
    name: str = ""  # from "# Subtest: name"
    running: str = ""  # the harness printed RUN and nothing since
    last: int = 0
    first_claims: dict[int, tuple[str, Status, str]] = field(default_factory=dict)  # by number
    repeats: dict[tuple[int, str], _Repeat] = field(default_factory=dict)
    results: list[TestNode] = field(default_factory=list)
    nested: list[TestNode] = field(default_factory=list)  # waits for the parent's result line
    nested_open: bool = False
    nested_indented: bool = False  # it is indented, and no comment of the kselftest runner's
    nested_name: str = ""
    troubles: list[TestNode] = field(default_factory=list)
    diagnostics: deque[str] = field(default_factory=lambda: deque(maxlen=MESSAGE_LINES))

    @property
    def begun(self) -> bool:
        """Whether it has a plan or a result."""
        return self.plan is not None or bool(self.results)

    def say(self, text: str) -> None:
        """Keep a diagnostic for the next result."""
        text = text.rstrip()
        if text and not _PREAMBLE.fullmatch(text):
            self.diagnostics.append(text[:MESSAGE_LINE_CHARS])

    def message(self, *first: str) -> str:
        """Return the diagnostics since the last result, below ``first``, and drop them."""
        head = [text.strip()[:MESSAGE_LINE_CHARS] for text in first]
        text = "\n".join([*filter(None, head), *self.diagnostics])
        self.diagnostics.clear()
        return text

    def trouble(self, name: str, status: Status, why: str) -> None:
        """Keep what is wrong with the document as a whole, once for each ``name``."""
        if all(node.name != name for node in self.troubles):
            self.troubles.append(TestNode(name, status, why))

    def expects(self, number: int, *, failed: bool) -> bool:
        """Return whether ``number`` is due next: planned or, without a plan, that of a failure."""
        planned = failed and self.numbered if self.plan is None else number <= self.plan
        return planned and self.last + 1 == number

    def add(self, number: int | None, name: str, status: Status, why: str) -> None:
        """Take one result line, and the nested results that came before it."""
        number = self.last + 1 if number is None else number
        # The harness of 6.1 leaves the name out of a skipped case's result.
        name = name or self.nested_name or self.running or str(number)
        claim = (name, status, why)
        first = self.first_claims.setdefault(number, claim)
        self.last = number
        children = tuple(self.nested)
        if self.nested_open and self.nested_indented and not children and status is Status.PASS:
            status, why = Status.SKIP, "; ".join(filter(None, ("it has no test in it", why)))
        self.running = ""
        self._forget_nested()
        if first is not claim:
            repeat = self.repeats.get((number, name))
            if repeat is None:
                repeat = _Repeat(len(self.results), number, 1, None, identical=True)
                self.repeats[number, name] = repeat
                self.results.append(TestNode(name, Status.ERROR, self.message(why), children))
            else:
                repeat.nested += children
            repeat.times += 1
            repeat.bad = worst(each for each in (repeat.bad, status) if each and each.bad)
            repeat.identical &= claim == first and not children
            return
        status = worst([status, *(child.status for child in children)]) or status
        self.results.append(TestNode(name, status, self.message(why), children))

    def annotate(self, lines: Iterable[str]) -> None:
        """Add lines to the message of the last result."""
        said = self.results[-1].message.split("\n") if self.results[-1].message else []
        shown = (line.rstrip()[:MESSAGE_LINE_CHARS] for line in lines)
        left = max(0, 2 * MESSAGE_LINES - len(said))  # the same result may be annotated again
        kept = itertools.islice(filter(None, shown), left)
        self.results[-1] = replace(self.results[-1], message="\n".join([*said, *kept]))

    def _forget_nested(self) -> None:
        self.nested = []
        self.nested_open = False
        self.nested_name = ""

    def is_begun_by(self, other: Document) -> bool:
        """Return whether ``other``, which came before, is the same document cut short.

        A program that forks with its output unflushed writes it twice: what it had reported up
        to the fork, and then all.
        """
        count = len(other.results)
        whole = other.repeats or other.troubles or other.nested_open
        return (
            not whole
            and other.plan == self.plan
            and other.plan is not None
            and count < other.plan
            and self.results[:count] == other.results
        )

    def finish(self) -> list[TestNode]:
        """Return the children, with what is missing or in excess made explicit."""
        nodes = self._settled()
        if self.nested or self.nested_open or self.running:
            number = self.last + 1
            name = self.running or self.nested_name or str(number)
            why = "it began, but its result never came"
            nodes.append(TestNode(name, Status.CRASH, self.message(why), tuple(self.nested)))
            self.first_claims[number] = (name, Status.CRASH, why)
            self._forget_nested()
        nodes += self.troubles
        for first, end in self._gaps():
            name = str(first) if first == end else f"{first}..{end}"
            why = f"{counted(len(self.results), 'result')} came, {name} never did"
            if self.plan is not None:
                why = f"{_planned(self.plan)}, {why}"
            nodes.append(TestNode(name, Status.CRASH, self.message(why)))
        if self.plan is not None and self._exceeded(self.plan):
            why = f"{_planned(self.plan)}, but numbers beyond that came"
            nodes.append(TestNode("plan", Status.ERROR, why))
        return nodes

    def _settled(self) -> list[TestNode]:
        """Return the results, with a word on those that came more than once.

        That is an error of the program's. Where each planned result came, and each repetition is
        word for word the same, it forked with output unflushed, and none of it is in doubt.
        """
        nodes: list[TestNode | None] = list(self.results)
        whole = (
            self.plan is not None
            and not self._exceeded(self.plan)
            and len(self.first_claims) == self.plan
        )
        for repeat in self.repeats.values():
            if whole and repeat.identical and repeat.times <= MAX_COPIES:
                nodes[repeat.at] = None
                continue
            node = self.results[repeat.at]
            often = "twice" if repeat.times == 2 else f"{repeat.times} times"
            why = f"number {repeat.number} came {often}; {node.message}".rstrip("; ")
            status = repeat.bad or Status.ERROR
            children = (*node.children, *repeat.nested)
            status = worst([status, *(child.status for child in children)]) or status
            nodes[repeat.at] = replace(node, status=status, message=why, children=children)
        return [node for node in nodes if node is not None]

    def _exceeded(self, plan: int) -> bool:
        return any(not 1 <= number <= plan for number in self.first_claims)

    def _gaps(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges of numbers that never came."""
        total = max(self.first_claims, default=0) if self.plan is None else self.plan
        expected = 1
        for number in sorted(self.first_claims):
            if number > total:
                break
            if number > expected:
                yield expected, number - 1
            expected = max(expected, number + 1)
        if expected <= total:
            yield expected, total


def _planned(number: int) -> str:
    return f"{counted(number, 'test')} {'was' if number == 1 else 'were'} planned"
