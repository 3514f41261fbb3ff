from __future__ import annotations

import dataclasses

import junitparser
import pytest

from tests import a_result
from toolkit.core.model.machine import Splat
from toolkit.core.model.result import Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import junit, view

SPLAT = Splat(
    "warning", "WARNING: at a.c:1", "cut here\nWARNING\n<end>", False, 7, during="kvm/access"
)
LEAVES = (
    Leaf("kvm/access/good", Status.PASS, seconds=0.25),
    Leaf("kvm/access/deep/er", Status.FAIL, "wanted <1> & got 2\nmore \x1b[31m \ufffe", 0.5),
    Leaf("kvm/access", Status.CRASH, "killed by SIGSEGV"),
    Leaf("kvm/access/dmesg", Status.FAIL, SPLAT.title),
    Leaf("kvm/limits/skip", Status.SKIP, "no such limit"),
    Leaf("kvm/limits/known", Status.XFAIL, "as ever", known="finding 2"),
    Leaf("kvm/limits/fixed", Status.XPASS, "it passed", known="finding 3"),
    Leaf("boot/dmesg", Status.FAIL, SPLAT.title),
)
RESULT = a_result.passed(verdict=Verdict.FAIL, leaves=LEAVES, splats=(SPLAT,), seconds=61.5)


def test_suites_hold_programs_and_programs_hold_cases() -> None:
    document = junitparser.JUnitXml.fromstring(junit.render(view.of(RESULT)))
    assert (document.tests, document.failures, document.errors, document.skipped) == (8, 4, 1, 2)
    assert document.time == 61.5
    kvm, boot = document
    assert [suite.name for suite in (kvm, boot)] == ["kvm", "boot"]
    access, limits = kvm.testsuites()  # type: ignore[no-untyped-call]
    assert (access.tests, access.failures, access.errors, access.time) == (4, 2, 1, 0.75)
    assert access.timestamp == RESULT.started
    good, bad, program, dmesg = access
    assert (good.name, good.classname, good.time) == ("good", "kvm.access", 0.25)
    assert not good.result
    assert bad.name == "deep/er"
    assert bad.result[0].message == "wanted <1> & got 2"
    assert bad.result[0].text.startswith("wanted <1> & got 2\nmore \\x1b[31m \\ufffe\n")
    assert bad.result[0].text.endswith(
        "repeat: toolkit build-and-test --patch v4 --suite kvm --test access"
    )
    assert program.name == "access"
    assert isinstance(program.result[0], junitparser.Error)
    assert dmesg.system_err == SPLAT.text
    skip, known, fixed = limits
    assert skip.result[0].message == "no such limit"
    assert known.result[0].message == "known failure: finding 2"
    assert isinstance(fixed.result[0], junitparser.Failure)


@pytest.mark.parametrize("verdict", [Verdict.BUILD_BREAK, Verdict.NO_TESTS, Verdict.INTERRUPTED])
def test_a_run_without_tests_is_not_green(verdict: Verdict) -> None:
    result = dataclasses.replace(
        RESULT, verdict=verdict, leaves=(), message="it broke", detail=("x.c:1: error",)
    )
    document = junitparser.JUnitXml.fromstring(junit.render(view.of(result)))
    assert (document.tests, document.errors) == (1, 1)
    (case,) = next(iter(document))
    assert case.result[0].type == verdict.value
    assert case.result[0].text == "it broke\nx.c:1: error"
