from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kcidb_io.schema import LATEST, V5_0

from tests import a_result
from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.report import kcidb, view


def rendered(result: RunResult) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(b"".join(kcidb.render(view.of(result))))
    assert V5_0.is_compatible_exactly(data)
    assert LATEST.is_compatible(data)
    return data


@pytest.mark.parametrize(
    "make", [*a_result.STATES.values(), a_result.hostile], ids=[*a_result.STATES, "hostile"]
)
def test_kcidb_io_takes_every_state(make: Callable[[], RunResult]) -> None:
    V5_0.validate_exactly(rendered(make()))


@given(st.text(), st.text(), st.sampled_from(Status), st.sampled_from(Verdict))
def test_kcidb_io_takes_any_text(name: str, message: str, status: Status, verdict: Verdict) -> None:
    leaf = Leaf(f"s/p/{name}", status, message, known=name)
    V5_0.validate_exactly(
        rendered(
            a_result.passed(
                leaves=(leaf,), verdict=verdict, message=message, detail=(name,), series=message
            )
        )
    )


def test_a_known_failure_is_an_incident_and_not_a_new_one() -> None:
    data = rendered(a_result.failed())
    tests = {test["comment"]: test for test in data["tests"]}
    (incident,) = data["incidents"]
    (issue,) = data["issues"]
    assert incident["issue_id"] == issue["id"]
    assert incident["present"]
    assert tests["kvm/iosignalfd_limit_test/case_01"]["id"] == incident["test_id"]
    assert issue["comment"] == "the review asked for a bound that user space can see"
    assert tests["kvm/iosignalfd_args_test/case_03"]["status"] == "FAIL"
    warned = tests["kvm/iosignalfd_deassign_test/dmesg"]
    assert warned["path"] == "kvm.iosignalfd_deassign_test.dmesg"
    assert "kvm_vm_release (virt/kvm/kvm_main.c:1350)" in warned["log_excerpt"]


def test_a_build_break_is_the_build_s_status() -> None:
    data = rendered(a_result.broken())
    (build,) = data["builds"]
    assert (build["status"], build["architecture"]) == ("FAIL", "x86_64")
    assert "eventfd_signal_all" in build["log_excerpt"]
    assert data["tests"] == []
    (checkout,) = data["checkouts"]
    assert checkout["message_id"] == a_result.MAILING.message_id.strip("<>")
    assert checkout["valid"]


def test_a_patch_that_does_not_apply_is_the_checkout_s_fault() -> None:
    result = a_result.passed(
        verdict=Verdict.USER_ERROR,
        stages=a_result.STAGES[:1],
        leaves=(),
        message="0001 does not apply",
        environment=type(a_result.ENVIRONMENT)(),
    )
    data = rendered(result)
    assert "builds" not in data
    assert data["checkouts"][0]["valid"] is False
    assert data["checkouts"][0]["log_excerpt"] == "0001 does not apply"


def test_a_kernel_that_does_not_boot_is_a_failed_test() -> None:
    result = a_result.passed(verdict=Verdict.BOOT_FAILURE, leaves=(), detail=("panic",))
    (test,) = rendered(result)["tests"]
    assert (test["path"], test["status"], test["log_excerpt"]) == ("boot", "FAIL", "panic")


def test_an_id_with_odd_characters_has_a_valid_path() -> None:
    result = a_result.passed(leaves=(Leaf("a b/c.d/é//x", Status.PASS),))
    assert rendered(result)["tests"][0]["path"] == "a_b.c_d._._.x"
