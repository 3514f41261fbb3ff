"""Finds patch series: by name below ``patches/``, in any folder, or in an mbox.

A series lies in ``patches/TOPIC/VERSION/``: its ``series.yaml``
(:class:`toolkit.series.manifest.SeriesManifest`) and a folder of patches for each base kernel.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.core import paths
from toolkit.core.errors import UserError
from toolkit.core.model.series import Explained, KnownFailure, PatchSeries
from toolkit.formats import yamlfile
from toolkit.series import reader

if TYPE_CHECKING:
    from toolkit.series.manifest import SeriesManifest

MANIFEST = "series.yaml"


def names(root: Path) -> list[str]:
    """Return the names (topic/version) of the series below ``root``, v4 before v10."""
    found = [path.parent for path in root.glob(f"*/*/{MANIFEST}")]
    return sorted((f"{path.parent.name}/{path.name}" for path in found), key=_natural)


def list_series(root: Path) -> list[str]:
    """Return one line for each series below ``root``: its name, bases and title.

    Quick: nothing is checked here, and a manifest that cannot be read says so in its line.
    """
    rows = []
    for name in names(root):
        try:
            data = yamlfile.read(root / name / MANIFEST).data
        except UserError as error:
            rows.append((name, "-", f"({error.what})"))
            continue
        bases = data.get("bases")
        shown = sorted(bases, key=_natural) if isinstance(bases, dict) else ["-"]
        rows.append((name, " ".join(shown), str(data.get("title", ""))))
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}" for row in rows]


def resolve(name: str, root: Path, release: str | None = None) -> PatchSeries:
    """Return the series that ``name`` stands for, in the form for the kernel ``release``.

    ``name`` is a version that one topic has (``v4``), ``topic/version``, a folder with or
    without ``series.yaml``, or an mbox file. Without ``release`` the newest base is taken.
    Raises :class:`UserError` for a name that is unknown or ambiguous, a series without patches
    for ``release``, and faults in its files.
    """
    path = _locate(name, root)
    if path.is_file():
        files = reader.read_mbox(path)
        return _bare(path.stem, files, path)
    if not (path / MANIFEST).exists():
        return _bare(path.resolve().name, reader.read_folder(path), path)
    manifest = _manifest(path)
    base = _choose(manifest, release, path / MANIFEST)
    entry = manifest.bases[base]
    folder = path / ((entry and entry.folder) or base)
    files = reader.read_folder(folder, entry.order if entry else ())
    return PatchSeries(
        name=_full_name(path),
        title=manifest.title,
        base=base,
        patches=files.patches,
        kconfig=manifest.kconfig,
        suites=manifest.suites,
        known_failures=tuple(
            KnownFailure(known.test, known.reason, known.review)
            for known in manifest.known_failures
        ),
        unrun=tuple(
            Explained(each.file, each.reason, each.line.strip(), each.function)
            for each in manifest.unrun
        ),
        cover_letter=files.cover_letter,
        origin=path,
        mailing=files.mailing,
    )


def describe(name: str, root: Path) -> list[str]:
    """Return what ``toolkit series show`` prints of the series that ``name`` stands for.

    Raises the same errors as :func:`resolve`; every base is read.
    """
    path = _locate(name, root)
    if path.is_file() or not (path / MANIFEST).exists():
        found = resolve(name, root)
        return [f"{found.name}: {found.title}", *_patch_lines(found)]
    manifest = _manifest(path)
    lines = [f"{_full_name(path)}: {manifest.title}"]
    for base in sorted(manifest.bases, key=_natural):
        entry = manifest.bases[base]
        lines.append(f"for Linux {', '.join((entry and entry.kernels) or (base,))}:")
        folder = path / ((entry and entry.folder) or base)
        files = reader.read_folder(folder, entry.order if entry else ())
        lines += [f"  {patch.name}: {patch.subject}" for patch in files.patches]
    for title, items in (
        ("Kconfig needs", manifest.kconfig),
        ("suites", manifest.suites),
        ("known failures", [f"{k.test}: {k.reason}" for k in manifest.known_failures]),
        ("not run", [f"{u.file}: {u.line or u.function}: {u.reason}" for u in manifest.unrun]),
        ("links", manifest.links),
    ):
        if items:
            lines += [f"{title}:", *(f"  {item}" for item in items)]
    return lines


def prefixes(series: PatchSeries) -> list[PatchSeries]:
    """Return the series as it is after each of its patches; the last is the whole.

    A prefix is named after how many patches it has: ``topic/version:2``.
    """
    count = len(series.patches)
    return [
        dataclasses.replace(series, name=f"{series.name}:{n}", patches=series.patches[:n])
        if n < count
        else series
        for n in range(1, count + 1)
    ]


# --- finding it --------------------------------------------------------------------------


def _locate(name: str, root: Path) -> Path:
    path = paths.expand(name)
    if name.startswith(("/", "./", "../", "~")) or name in (".", ".."):
        if not path.exists():
            raise UserError(f"there is no {path}", hint=_listing(name, root))
        return path
    every = names(root)
    wanted = name.rstrip("/")
    matches = [full for full in every if wanted == full or wanted in full.split("/")]
    if len(matches) == 1:
        return root / matches[0]
    if len(matches) > 1:
        raise UserError(
            f"{name!r} may be {', '.join(matches)}", hint="give the full name, topic/version"
        )
    if name and path.exists():
        return path
    raise UserError(f"there is no series {name!r}", hint=_listing(name, root))


def _listing(name: str, root: Path) -> str:
    """Return the sentence that lists what there is, what is nearest to ``name`` first."""
    every = names(root)
    if not every:
        return f"there is none below {root}; a folder of patches or an mbox file will do, too"

    def distance(full: str) -> float:
        tails = (full, *full.split("/"))
        return -max(difflib.SequenceMatcher(None, name, tail).ratio() for tail in tails)

    listed = ", ".join(sorted(every, key=distance))
    return f"there is {listed}; a folder of patches or an mbox file will do, too"


def _bare(name: str, files: reader.PatchFiles, origin: Path) -> PatchSeries:
    return PatchSeries(
        name=name,
        title=files.title,
        base="",
        patches=files.patches,
        cover_letter=files.cover_letter,
        origin=origin,
        mailing=files.mailing,
    )


def _full_name(path: Path) -> str:
    path = path.resolve()
    return f"{path.parent.name}/{path.name}"


def _manifest(path: Path) -> SeriesManifest:
    # pydantic takes a good part of a second to import, and a listing does without.
    from toolkit.formats import manifest  # noqa: PLC0415
    from toolkit.series.manifest import SeriesManifest  # noqa: PLC0415

    return manifest.load(path / MANIFEST, SeriesManifest)


def _choose(manifest: SeriesManifest, release: str | None, path: Path) -> str:
    """Return the base for a kernel release; of several that fit, the most particular one."""
    bases = sorted(manifest.bases, key=_natural)
    if release is None:
        return bases[-1]
    fitting = []
    for base in bases:
        entry = manifest.bases[base]
        served = (entry and entry.kernels) or (base,)
        fitting += [(len(kernel), base) for kernel in served if _serves(kernel, release)]
    if not fitting:
        raise UserError(
            f"{path} has no patches for Linux {release}",
            hint=f"it has them for {_spoken(bases)}: give such a kernel, or port the series",
        )
    return max(fitting)[1]


def _serves(kernel: str, release: str) -> bool:
    return re.match(re.escape(kernel) + r"(?![0-9])", release) is not None


def _spoken(items: Sequence[str]) -> str:
    return " and ".join(items) if len(items) < 3 else ", ".join(items)


def _patch_lines(series: PatchSeries) -> list[str]:
    return [f"  {patch.name}: {patch.subject}" for patch in series.patches]


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sort v4 before v10, 6.1 before 6.12."""
    parts = re.findall(r"(\d+)|(\D+)", text)
    return [(0, int(number), "") if number else (1, 0, word) for number, word in parts]
