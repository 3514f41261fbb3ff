"""The files of a run that other programs read: ``result.json`` and ``junit.xml``.

``result.json`` is :class:`toolkit.model.RunResult`, written out. Its JSON Schema lies beside
this package as ``schemas/result-v1.json``; ``python -m toolkit.report`` makes it anew.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from pydantic import TypeAdapter, ValidationError

from toolkit import results
from toolkit.errors import UserError
from toolkit.model import Leaf, RunResult, Splat, Status, Verdict
from toolkit.text import visible

RESULT = "result.json"
JUNIT = "junit.xml"
VERSION = 1
SCHEMA_FILE = Path(__file__).parent / "schemas" / f"result-v{VERSION}.json"

_FAILURES = (Status.FAIL, Status.XPASS)
_SKIPS = (Status.SKIP, Status.XFAIL)


def write(run_dir: Path, result: RunResult) -> None:
    """Write ``result.json`` and ``junit.xml`` into a run folder; each is whole or absent.

    Raises :class:`OSError` where the folder cannot be written.
    """
    _replace(run_dir / RESULT, to_json(result))
    _replace(run_dir / JUNIT, to_junit(result))


def read_result(path: Path) -> RunResult:
    """Return the result in ``path``, which is a run folder or the file itself.

    Raises :class:`UserError` for a file that is missing, damaged, or of another version.
    """
    file = path / RESULT if path.is_dir() else path
    hint = "name a run folder, or the result.json in one"
    try:
        data = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is no JSON: {error}", hint=hint) from error
    version = data.get("schema") if isinstance(data, dict) else None
    if version is None:
        raise UserError(f"{file} is no result of a run", hint=hint)
    if version != VERSION or isinstance(version, bool):
        raise UserError(
            f"{file} has version {version!r}, but this toolkit reads version {VERSION}",
            hint="read it with the toolkit that wrote it, or run the tests again",
        )
    try:
        return _adapter().validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{file} is damaged: {where}: {first['msg']}", hint=hint) from error


def to_json(result: RunResult) -> bytes:
    """Return a result as it stands in ``result.json``."""
    data = _clean(dataclasses.asdict(result))
    return json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``result.json``."""
    made = _adapter().json_schema(mode="serialization")
    made["properties"]["schema"] = {"const": VERSION, "title": "Schema"}
    made["required"] = sorted({*made.get("required", ()), "schema"})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def schema_text() -> str:
    """Return the schema as it stands in its file."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


@functools.cache
def _adapter() -> TypeAdapter[RunResult]:
    return TypeAdapter(RunResult)


def _clean(value: Any) -> Any:
    """Return ``value`` without what UTF-8 cannot hold: bytes of a file name that are no text."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_clean(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# --- junit.xml -----------------------------------------------------------------------------


def to_junit(result: RunResult) -> bytes:
    """Return ``junit.xml``: a suite for each test suite, in it one for each program.

    A run that did not come to a verdict on tests gets a case of its own with an error, since
    a page that shows JUnit files shows an empty one as good.
    """
    document = JUnitXml(_text(f"toolkit {result.series or result.kernel}"))
    for suite_name, programs in _grouped(result.leaves).items():
        suite = TestSuite(suite_name)
        for program, leaves in programs.items():
            inner = TestSuite(program)
            inner.add_testcases([_case(leaf, result.splats) for leaf in leaves])
            suite.add_testsuite(inner)  # type: ignore[no-untyped-call]
            _count(inner, leaves)
        _count(suite, [leaf for leaves in programs.values() for leaf in leaves])
        document.add_testsuite(suite)
    errors = _count(document, result.leaves)
    if result.verdict not in (Verdict.PASS, Verdict.FAIL):
        document.add_testsuite(_verdict_suite(result))
        document.tests, document.errors = len(result.leaves) + 1, errors + 1
    document.time = round(result.seconds, 3)
    stream = io.BytesIO()
    document.write(stream, pretty=True)
    return stream.getvalue()


def _grouped(leaves: Iterable[Leaf]) -> dict[str, dict[str, list[Leaf]]]:
    grouped: dict[str, dict[str, list[Leaf]]] = {}
    for leaf in leaves:
        suite, _, rest = leaf.id.partition("/")
        program = rest.partition("/")[0] or suite
        grouped.setdefault(_text(suite), {}).setdefault(_text(program), []).append(leaf)
    return grouped


def _case(leaf: Leaf, splats: Iterable[Splat]) -> TestCase:
    suite, _, rest = leaf.id.partition("/")
    program, _, name = rest.partition("/")
    classname = f"{suite}.{program or suite}"
    case = TestCase(_text(name or program or suite), _text(classname), leaf.seconds)
    message = _text(leaf.message)
    first = message.partition("\n")[0]
    if leaf.status in _SKIPS:
        why = f"known failure: {_text(leaf.known)}" if leaf.known else first
        case.result = [Skipped(why, leaf.status.value)]
    elif leaf.status.bad:
        entry = (Failure if leaf.status in _FAILURES else Error)(first, leaf.status.value)
        entry.text = message
        case.result = [entry]
    if name == "dmesg" or rest == "dmesg":
        titles = leaf.message.split("\n")
        texts = [splat.text for splat in splats if visible(splat.title) in titles]
        case.system_err = _text("\n\n".join(texts))
    return case


def _verdict_suite(result: RunResult) -> TestSuite:
    case = TestCase("verdict", "toolkit.run", result.seconds)
    entry = Error(_text(result.message or result.verdict.value), result.verdict.value)
    case.result = [entry]
    suite = TestSuite("toolkit")
    suite.add_testcase(case)
    return suite


def _count(suite: TestSuite | JUnitXml, leaves: Iterable[Leaf]) -> int:
    """Set the totals, those of inner suites included; return the errors."""
    found = results.counts(leaves)
    failures = sum(found[status] for status in _FAILURES)
    skipped = sum(found[status] for status in _SKIPS)
    errors = sum(number for status, number in found.items() if status.bad) - failures
    suite.tests = sum(found.values())
    suite.failures = failures
    suite.skipped = skipped
    suite.errors = errors
    suite.time = round(sum(leaf.seconds or 0.0 for leaf in leaves), 3)
    return errors


def _text(raw: str) -> str:
    """Return text that XML can hold."""
    return visible(raw, keep="\n\t")


if __name__ == "__main__":
    SCHEMA_FILE.parent.mkdir(exist_ok=True)
    SCHEMA_FILE.write_text(schema_text())
