"""``kcidb.json``: the form of KCIDB, the common database of kernel test results (schema 5.0).

Written by hand, since the package that knows the schema is a tool for submitting; the tests have it
check what is written here. A known failure is a failed test with an incident of a known issue,
which is how a KCIDB dashboard tells it from a new one.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from toolkit.core.model.result import RunResult, Verdict
from toolkit.core.model.testing import Leaf, Status
from toolkit.core.text import visible
from toolkit.report import json_text
from toolkit.report.view import ReportView

ORIGIN = "kernel_toolkit"
VERSION = {"major": 5, "minor": 0}
MAX_EXCERPT = 16_384  # characters; the schema's bound

_STATUSES = {
    Status.CRASH: "FAIL",
    Status.TIMEOUT: "FAIL",
    Status.ERROR: "ERROR",
    Status.FAIL: "FAIL",
    Status.XPASS: "PASS",
    Status.PASS: "PASS",
    Status.XFAIL: "FAIL",
    Status.SKIP: "SKIP",
}
_NOT_IN_PATH = re.compile(r"[^a-zA-Z0-9_-]+")


def render(view: ReportView) -> Iterator[bytes]:
    """Yield ``kcidb.json``: one checkout, its build where it came to that, and its tests."""
    result = view.result
    run = _digest(result.started, *result.command, result.series, result.kernel, result.seconds)
    data: dict[str, Any] = {"version": VERSION, "checkouts": [_checkout(view, run)]}
    if build := _build(result, run):
        data["builds"] = [build]
        booted = [_boot(result, run)] if result.verdict is Verdict.BOOT_FAILURE else []
        tests = (_test(view, leaf, run) for leaf in result.leaves)
        data["tests"] = map(_clean, itertools.chain(tests, booted))
        expected = [leaf for leaf in result.leaves if leaf.known]
        data["issues"] = list({each["id"]: each for each in map(_issue, expected)}.values())
        data["incidents"] = [_incident(leaf, run) for leaf in expected]
    return json_text.parts(_clean(data), indent=1)


def _digest(*parts: object) -> str:
    text = "\n".join(map(str, parts))
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:32]


def _id(*parts: str) -> str:
    return f"{ORIGIN}:{':'.join(parts)}"


def _clean(value: Any) -> Any:
    """Return the data with every text harmless, and without what is empty: none may be null."""
    if isinstance(value, str):
        return visible(value, keep="\n\t")
    if isinstance(value, dict):
        return {key: _clean(each) for key, each in value.items() if each not in ("", None, {})}
    return [_clean(each) for each in value] if isinstance(value, list) else value


def _excerpt(lines: Iterable[str]) -> str:
    return visible("\n".join(lines), keep="\n\t")[:MAX_EXCERPT]


def _checkout(view: ReportView, run: str) -> dict[str, Any]:
    result = view.result
    valid = not (result.verdict is Verdict.USER_ERROR and not _seconds(result, "build"))
    return {
        "id": _id(run),
        "origin": ORIGIN,
        "tree_name": result.kernel,
        "comment": view.subject,
        "message_id": result.mailing.message_id.strip("<>") if result.mailing else "",
        "start_time": result.started,
        "valid": valid,
        "log_excerpt": "" if valid else _excerpt([result.message, *result.detail]),
        "misc": {"patches": list(result.patches)},
    }


def _seconds(result: RunResult, stage: str) -> float | None:
    return next((each.seconds for each in result.stages if each.name == stage), None)


def _build(result: RunResult, run: str) -> dict[str, Any] | None:
    """Return the build, or None for a run that did not come to one."""
    broken = result.verdict is Verdict.BUILD_BREAK
    seconds = _seconds(result, "build")
    if not broken and seconds is None and not result.environment.build:
        return None
    environment = result.environment
    return {
        "checkout_id": _id(run),
        "id": _id(run),
        "origin": ORIGIN,
        "architecture": environment.architecture,
        "compiler": environment.compiler,
        "start_time": result.started,
        "duration": seconds,
        "status": "FAIL" if broken else "PASS",
        "log_excerpt": _excerpt(result.detail) if broken else "",
        "misc": {"config_digest": environment.config, "build_key": environment.build},
    }


def _test(view: ReportView, leaf: Leaf, run: str) -> dict[str, Any]:
    result = view.result
    excerpts = [leaf.message, *(each.decoded or each.text for each in view.splats_of(leaf))]
    return {
        "build_id": _id(run),
        "id": _id(run, leaf.id),
        "origin": ORIGIN,
        "path": _path(leaf.id),
        "status": _STATUSES[leaf.status],
        "duration": leaf.seconds,
        "start_time": result.started,
        "comment": leaf.id,
        "log_excerpt": _excerpt(filter(None, excerpts)),
        "environment": _environment(result),
        "misc": {
            "status": leaf.status.value,
            "known_failure": leaf.known,
            "repeat": view.repeat(leaf) if leaf.status.bad else "",
        },
    }


def _path(leaf_id: str) -> str:
    """Return an id as KCIDB's dotted path, of letters, digits, "_" and "-"."""
    parts = (_NOT_IN_PATH.sub("_", part) for part in leaf_id.split("/"))
    return ".".join(part or "_" for part in parts)


def _boot(result: RunResult, run: str) -> dict[str, Any]:
    return {
        "build_id": _id(run),
        "id": _id(run, "boot"),
        "origin": ORIGIN,
        "path": "boot",
        "status": "FAIL",
        "start_time": result.started,
        "comment": result.message,
        "log_excerpt": _excerpt(result.detail),
        "environment": _environment(result),
    }


def _environment(result: RunResult) -> dict[str, Any]:
    qemu = f"QEMU {result.qemu}" if result.qemu else ""
    facts = (qemu, result.accelerator, result.environment.machine)
    return {"comment": ", ".join(filter(None, facts))}


def _issue(leaf: Leaf) -> dict[str, Any]:
    return {
        "id": _id("known", _digest(leaf.known)),
        "version": 0,
        "origin": ORIGIN,
        "comment": leaf.known,
        "culprit": {"code": True},
    }


def _incident(leaf: Leaf, run: str) -> dict[str, Any]:
    return {
        "id": _id(run, "known", leaf.id),
        "origin": ORIGIN,
        "issue_id": _id("known", _digest(leaf.known)),
        "issue_version": 0,
        "test_id": _id(run, leaf.id),
        "present": leaf.status is Status.XFAIL,
    }
