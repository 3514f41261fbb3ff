"""``junit.xml``: the form that every CI page reads."""

from __future__ import annotations

import io
from collections.abc import Iterable
from xml.etree import ElementTree

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.text import visible
from toolkit.report.view import Program, ReportView
from toolkit.testing import leaf_ids, verdicts

_FAILURES = (Status.FAIL, Status.XPASS)
_SKIPS = (Status.SKIP, Status.XFAIL)


def render(view: ReportView) -> bytes:
    """Return ``junit.xml``: a suite for each test suite, in it one for each program.

    A run that did not come to a verdict on tests gets a case of its own with an error, since
    a page that shows JUnit files shows an empty one as good.
    """
    result = view.result
    document = JUnitXml(_text(f"toolkit {result.series or result.kernel}"))
    for suite_name, programs in _by_suite(view).items():
        suite = TestSuite(suite_name)
        for program in programs:
            inner = TestSuite(_text(program.name or program.suite))
            inner.timestamp = result.started
            inner.add_testcases([_case(view, leaf) for leaf in program.leaves])
            suite.add_testsuite(inner)  # type: ignore[no-untyped-call]
            _count(inner, program.leaves)
        _count(suite, [leaf for program in programs for leaf in program.leaves])
        document.add_testsuite(suite)
    errors = _count(document, result.leaves)
    if result.verdict not in (Verdict.PASS, Verdict.FAIL):
        document.add_testsuite(_verdict_suite(result))
        document.tests, document.errors = len(result.leaves) + 1, errors + 1
    document.time = round(result.seconds, 3)
    # junitparser's own way to indent reads all of it into a second tree, of many times the size.
    ElementTree.indent(document._elem)
    stream = io.BytesIO()
    document.write(stream)
    stream.write(b"\n")
    return stream.getvalue()


def _by_suite(view: ReportView) -> dict[str, list[Program]]:
    suites: dict[str, list[Program]] = {}
    for program in view.programs:
        suites.setdefault(_text(program.suite), []).append(program)
    return suites


def _case(view: ReportView, leaf: Leaf) -> TestCase:
    suite, program, _ = leaf_ids.split(leaf.id)
    classname = _text(f"{suite}.{program or suite}")
    case = TestCase(_text(leaf_ids.case_name(leaf.id)), classname, leaf.seconds)
    message = _text(leaf.message)
    first = message.partition("\n")[0]
    if leaf.status in _SKIPS:
        why = f"known failure: {_text(leaf.known)}" if leaf.known else first
        case.result = [Skipped(why, leaf.status.value)]
    elif leaf.status.bad:
        entry = (Failure if leaf.status in _FAILURES else Error)(first, leaf.status.value)
        entry.text = f"{message}\n\nrepeat: {view.repeat(leaf)}"
        case.result = [entry]
    if splats := view.splats_of(leaf):
        case.system_err = _text("\n\n".join(splat.decoded or splat.text for splat in splats))
    return case


def _verdict_suite(result: RunResult) -> TestSuite:
    case = TestCase("verdict", "toolkit.workflow.run", result.seconds)
    entry = Error(_text(result.message or result.verdict.value), result.verdict.value)
    entry.text = _text("\n".join((result.message, *result.detail)))
    case.result = [entry]
    suite = TestSuite("toolkit")
    suite.add_testcase(case)
    return suite


def _count(suite: TestSuite | JUnitXml, leaves: Iterable[Leaf]) -> int:
    """Set the totals, those of inner suites included; return the errors."""
    counts = verdicts.counts(leaves)
    failures = sum(counts[status] for status in _FAILURES)
    skipped = sum(counts[status] for status in _SKIPS)
    errors = sum(number for status, number in counts.items() if status.bad) - failures
    suite.tests = sum(counts.values())
    suite.failures = failures
    suite.skipped = skipped
    suite.errors = errors
    suite.time = round(sum(leaf.seconds or 0.0 for leaf in leaves), 3)
    return errors


def _text(raw: str) -> str:
    """Return text that XML can hold."""
    return visible(raw, keep="\n\t")
