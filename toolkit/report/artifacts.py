"""The files that a run leaves for its readers, above all ``result.json``, which has all of it.

``result.json`` is :class:`~toolkit.core.model.result.RunResult`, written out. Its JSON Schema is
``schemas/result-v1.json`` in this package; ``python -m toolkit.report.artifacts`` writes it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from toolkit.core import files
from toolkit.core.errors import UserError
from toolkit.core.model.mutation import Mutation
from toolkit.core.model.result import RunResult
from toolkit.formats import json_schema
from toolkit.report import (
    html_page,
    json_text,
    junit,
    kcidb,
    mail,
    markdown,
    mutation_view,
    view,
)

RESULT = "result.json"
JUNIT = "junit.xml"
KCIDB = "kcidb.json"
SUMMARY = "summary.md"
REPLY = "report.txt"
HTML = "report.html"
_LINKED = (
    RESULT,
    JUNIT,
    KCIDB,
    SUMMARY,
    REPLY,
    "console.log",
    "build.log",
    "kernel.config",
    mutation_view.FILE,
)
VERSION = 1
T = TypeVar("T")
SCHEMA_FILE = Path(__file__).parent / "schemas" / f"result-v{VERSION}.json"
MUTANTS_SCHEMA_FILE = SCHEMA_FILE.with_name(f"mutants-v{mutation_view.VERSION}.json")


def write(run_dir: Path, result: RunResult, step_summary: Path | None = None) -> None:
    """Write every report into a run folder; each is whole or absent.

    ``step_summary`` is a file that a CI system shows on its page of the job; the Markdown summary
    is appended to it. Raises :class:`OSError` where something cannot be written.
    """
    files.replace(run_dir / RESULT, _parts(result))
    shown = view.of(result)
    text = markdown.render(shown)
    files.replace(run_dir / JUNIT, [junit.render(shown)])
    files.replace(run_dir / KCIDB, kcidb.render(shown))
    files.replace(run_dir / SUMMARY, [text])
    if shown.host_at_fault:
        (run_dir / REPLY).unlink(missing_ok=True)  # nothing of this host's is for the list
    else:
        files.replace(run_dir / REPLY, [mail.render(shown)])
    files.replace(run_dir / HTML, [html_page.render(shown, _beside(run_dir, shown))])
    if step_summary:
        with step_summary.open("ab") as file:
            file.write(text + b"\n")


def write_mutation(run_dir: Path, mutation: Mutation) -> None:
    """Write ``mutants.json``, and the page of the run anew with it; raises as :func:`write` does.

    Raises :class:`UserError`, too, where the folder has no result of a run.
    """
    files.replace(run_dir / mutation_view.FILE, [to_json(mutation)])
    shown = view.of(read_result(run_dir))
    page = html_page.render(shown, _beside(run_dir, shown), mutation_view.of(mutation))
    files.replace(run_dir / HTML, [page])


def _beside(run_dir: Path, shown: view.ReportView) -> list[str]:
    """Return the files of a run folder that its page has links to."""
    logs = [
        f"tests/{program.id}{suffix}"
        for program in shown.failed_programs(html_page.MAX_FAILURES)
        for suffix in (".log", ".stderr.log", ".console.log")
    ]
    return [name for name in (*_LINKED, mutation_view.FILE, *logs) if (run_dir / name).is_file()]


def read_result(path: Path) -> RunResult:
    """Return the result in ``path``, which is a run folder or the file itself.

    Raises :class:`UserError` for a file that is missing, damaged, or of another version.
    """
    return _read(path, RESULT, VERSION, _adapter())


def read_mutation(path: Path) -> Mutation:
    """Return what became of mutants in an earlier run; as :func:`read_result` does it."""
    return _read(path, mutation_view.FILE, mutation_view.VERSION, TypeAdapter(Mutation))


def _read(path: Path, name: str, wanted: int, adapter: TypeAdapter[T]) -> T:
    file = path / name if path.is_dir() else path
    hint = f"name a run folder, or the {name} in one"
    try:
        data = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is no JSON: {error}", hint=hint) from error
    version = data.get("schema") if isinstance(data, dict) else None
    if version is None:
        raise UserError(f"{file} is no result of a run", hint=hint)
    if version != wanted or isinstance(version, bool):
        raise UserError(
            f"{file} has version {version!r}, but this toolkit reads version {wanted}",
            hint="read it with the toolkit that wrote it, or run the tests again",
        )
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UserError(f"{file} is damaged: {where}: {first['msg']}", hint=hint) from error


def to_json(result: RunResult | Mutation) -> bytes:
    """Return a result as it stands in ``result.json``, or what became of mutants."""
    return b"".join(_parts(result))


def _parts(result: RunResult | Mutation) -> Iterator[bytes]:
    fields = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    key = getattr(result, "__pydantic_config__", {}).get("alias_generator", str)
    data = {
        key(name): map(_clean, value) if isinstance(value, tuple) else _clean(value)
        for name, value in fields.items()
    }
    return json_text.parts(data, indent=2, ensure_ascii=False)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``result.json``."""
    return json_schema.of_version(_adapter(), VERSION)


def schema_text() -> str:
    """Return the schema as it stands in its file."""
    return json_schema.text(schema())


@functools.cache
def _adapter() -> TypeAdapter[RunResult]:
    return TypeAdapter(RunResult)


def _clean(value: Any) -> Any:
    """Return ``value`` as JSON has it, without bytes of a file name that are no UTF-8.

    Not by way of pydantic, which needs 20 ms to learn the types: most runs only write.
    """
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if dataclasses.is_dataclass(value):
        key = getattr(value, "__pydantic_config__", {}).get("alias_generator", str)
        names = [field.name for field in dataclasses.fields(value)]
        return {key(name): _clean(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {_clean(key): _clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(each) for each in value]
    return value


def mutants_schema_text() -> str:
    """Return the schema of ``mutants.json`` as it stands in its file."""
    return json_schema.text(json_schema.of_version(TypeAdapter(Mutation), mutation_view.VERSION))


if __name__ == "__main__":
    SCHEMA_FILE.parent.mkdir(exist_ok=True)
    SCHEMA_FILE.write_text(schema_text())
    MUTANTS_SCHEMA_FILE.write_text(mutants_schema_text())
