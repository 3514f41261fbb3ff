"""``bench.json``: a benchmark with every sample, written and read."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from toolkit.bench.samples import Benchmark
from toolkit.core import files
from toolkit.core.errors import UserError

FILE = "bench.json"
VERSION = 1
MAX_BYTES = 64 << 20  # the largest of this checkout has less than 0.1 MiB
_ADAPTER = TypeAdapter(Benchmark)


def write(path: Path, bench: Benchmark) -> None:
    """Write a benchmark; raises :class:`OSError` where that cannot be."""
    path.write_bytes(to_json(bench))


def to_json(bench: Benchmark) -> bytes:
    """Return the content of ``bench.json``, with each run of a row on a line of its own."""
    text = _ADAPTER.dump_json(bench, indent=1).decode()
    text = re.sub(r"\[\s+(\d+),\s+(\d+),\s+(\d+)\s+\]", r"[\1,\2,\3]", text)
    text = re.sub(r"(\d\]),\s+(?=\[\d)", r"\1,", text)
    return text.encode() + b"\n"


def read(path: Path) -> Benchmark:
    """Return the benchmark in a file, or in the ``bench.json`` of a run folder.

    Raises :class:`UserError` for one that is missing, damaged or of another version.
    """
    file = path / FILE if path.is_dir() else path
    hint = "name a run folder of `toolkit bench`, or the bench.json in one"
    try:
        bench = _ADAPTER.validate_json(files.content(file, MAX_BYTES))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}", hint=hint) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise UserError(f"{file} is no benchmark: {where}: {first['msg']}", hint=hint) from error
    if bench.schema != VERSION:
        raise UserError(
            f"{file} has version {bench.schema}, this toolkit reads {VERSION}",
            hint="run the benchmark again with this toolkit",
        )
    return bench
