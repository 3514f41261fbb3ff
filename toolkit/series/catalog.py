"""Finds patch series: by name below ``patches/``, or wherever else one may lie.

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
from toolkit.core.deadline import Deadline
from toolkit.core.errors import ToolkitError, UserError
from toolkit.core.model.series import (
    Explained,
    KnownFailure,
    Mailing,
    PatchSeries,
    Posting,
    Trailer,
)
from toolkit.formats import yamlfile
from toolkit.host.git import Repository
from toolkit.series import QUILT, STDIN, place
from toolkit.series.place import Commits, Message, Place

if TYPE_CHECKING:
    from toolkit.series.manifest import SeriesManifest
    from toolkit.series.reader import PatchFiles

MANIFEST = "series.yaml"
_SECONDS = 30.0  # for a repository to say where its references are


def names(root: Path) -> list[str]:
    """Return the names (topic/version) of the series below ``root``, v4 before v10."""
    folders = [path.parent for path in root.glob(f"*/*/{MANIFEST}")]
    return sorted((f"{path.parent.name}/{path.name}" for path in folders), key=_natural)


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


def resolve(
    name: str, root: Path, release: str | None = None, version: int | None = None
) -> PatchSeries:
    """Return the series that ``name`` stands for, in the form for the kernel ``release``.

    ``name`` is a version that one topic has (``v4``), ``topic/version``, or whatever
    :func:`toolkit.series.reader.read` takes: a folder, a quilt series, a mailbox, ``-``, a
    message-id or its URL, ``git:PATH@A..B``. Without ``release`` the newest base is taken;
    ``version`` picks one out of a thread. Raises :class:`UserError` for a name that is unknown or
    ambiguous, a series without patches for ``release``, and faults in its files, and
    :class:`InfrastructureError` for an archive that cannot be reached.
    """
    path = locate(name, root)
    if not isinstance(path, Path):
        return bare(path.name, _read(path, version=version, release=release))
    if not (path / MANIFEST).exists():
        files = _read(path, version=version, release=release)
        own = {STDIN: "standard-input", QUILT: path.resolve().parent.name}
        stem = path.stem if path.is_file() else path.resolve().name
        return bare(own.get(path.name, stem), files, path)
    _check_version(path, version)
    manifest = _manifest(path)
    base = _choose(manifest, release, path / MANIFEST)
    entry = manifest.bases[base]
    folder = path / ((entry and entry.folder) or base)
    files = _read(_folder(folder), entry.order if entry else ())
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
        survives=tuple(
            Explained(
                *(each.file, each.reason, each.line.strip(), each.function),
                *(each.operator, each.fault, each.equivalent),
            )
            for each in manifest.survives
        ),
        cover_letter=files.cover_letter,
        origin=path,
        mailing=files.mailing,
        posting=files.posting,
        notices=files.notices,
    )


def require(name: str, root: Path) -> None:
    """Raise the error of :func:`resolve` where there is nothing of that name to be read.

    A thread is fetched from its archive, so that nothing long begins without it.
    """
    path = locate(name, root)
    if isinstance(path, Message):
        from toolkit.series import lore  # noqa: PLC0415 - as in _read()

        lore.thread(path)


def form(series: PatchSeries, release: str) -> str:
    """Return what the form of a series for the kernel ``release`` is called.

    Two releases with the same one get the same patches from :func:`resolve`. Raises
    :class:`UserError` where a carried series has no patches for ``release``.
    """
    if series.base and series.origin:
        path = series.origin / MANIFEST
        return _choose(_manifest(series.origin), release, path)
    # A thread may have a form for each stable kernel.
    return ".".join(release.split(".")[:2]) if series.posting.other_kernels else ""


def describe(name: str, root: Path, version: int | None = None) -> list[str]:
    """Return what ``toolkit series show`` prints of the series that ``name`` stands for.

    Raises the same errors as :func:`resolve`; every base is read.
    """
    path = locate(name, root)
    if not isinstance(path, Path) or not (path / MANIFEST).exists():
        series = resolve(name, root, version=version)
        lines = [f"{series.name}: {series.title}"]
        lines += [f"  {patch.name}: {patch.subject}" for patch in series.patches]
        return [*lines, *_posting_lines(series.posting, series.mailing), *series.notices]
    _check_version(path, version)
    manifest = _manifest(path)
    lines = [f"{_full_name(path)}: {manifest.title}"]
    for base in sorted(manifest.bases, key=_natural):
        entry = manifest.bases[base]
        lines.append(f"for Linux {', '.join((entry and entry.kernels) or (base,))}:")
        folder = path / ((entry and entry.folder) or base)
        files = _read(_folder(folder), entry.order if entry else ())
        lines += [f"  {patch.name}: {patch.subject}" for patch in files.patches]
        lines += [f"  {line}" for line in _posting_lines(files.posting, files.mailing)]
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


def locate(name: str, root: Path) -> Place:
    """Return the path, or what else a series' name stands for.

    Raises :class:`UserError` for a name that is unknown or ambiguous.
    """
    if name == STDIN:
        return Path(STDIN)
    if other := place.parse(name):
        return other
    path = paths.expand(name)
    if name.startswith(("/", "./", "../", "~")) or name in (".", ".."):
        if not paths.exists(path):
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
    if name and paths.exists(path):
        return path
    raise UserError(f"there is no series {name!r}", hint=_listing(name, root))


def _listing(name: str, root: Path) -> str:
    """Return the sentence that lists what there is, what is nearest to ``name`` first."""
    every = names(root)
    others = "a folder of patches, an mbox file or a message-id will do, too"
    if not every:
        return f"there is none below {root}; {others}"

    def distance(full: str) -> float:
        tails = (full, *full.split("/"))
        return -max(difflib.SequenceMatcher(None, name, tail).ratio() for tail in tails)

    listed = ", ".join(sorted(every, key=distance))
    return f"there is {listed}; {others}"


def places(name: str, root: Path) -> tuple[Path, ...]:
    """Return the files and folders that a series is read from, so that somebody may watch them.

    None for standard input, for a mail of an archive, and for a repository that git cannot read.
    Raises :class:`UserError` for a name that is unknown or ambiguous: no edit mends that.
    """
    path = locate(name, root)
    if isinstance(path, Commits):
        try:
            return Repository(path.path).where_refs_are(Deadline.after(_SECONDS))
        except ToolkitError:
            return ()
    if isinstance(path, Message) or str(path) == STDIN:
        return ()
    # Of a quilt series each file counts, and so does what is listed below it.
    return (path.parent if path.name == QUILT and path.is_file() else path,)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(f"there is no folder {path}")
    return path


def bare(name: str, files: PatchFiles, origin: Path | None = None) -> PatchSeries:
    """Return a series without a manifest, for no base in particular."""
    return PatchSeries(
        name=name,
        title=files.title,
        base="",
        patches=files.patches,
        cover_letter=files.cover_letter,
        origin=origin,
        mailing=files.mailing,
        posting=files.posting,
        notices=files.notices,
    )


def _full_name(path: Path) -> str:
    path = path.resolve()
    return f"{path.parent.name}/{path.name}"


def _read(
    path: Place,
    order: Sequence[str] = (),
    *,
    version: int | None = None,
    release: str | None = None,
) -> PatchFiles:
    from toolkit.series import reader  # noqa: PLC0415 - slow to import, and a listing does without

    return reader.read(path, order, version, release)


def _manifest(path: Path) -> SeriesManifest:
    # pydantic takes a good part of a second to import, and a listing does without.
    from toolkit.formats import manifest  # noqa: PLC0415
    from toolkit.series.manifest import SeriesManifest  # noqa: PLC0415

    return manifest.load(path / MANIFEST, SeriesManifest)


def _check_version(path: Path, version: int | None) -> None:
    """Refuse to choose a version where the folder of a carried series is one."""
    if version is not None:
        raise UserError(
            f"{path} is one version of a series, and --version chooses among a thread's",
            hint="name the series alone; `toolkit series list` shows all",
        )


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


def _posting_lines(posting: Posting, mailing: Mailing | None) -> list[str]:
    """Return what a series says of itself beside its patches, a line for each."""
    rows = [("posted as", mailing.message_id)] if mailing else []
    rows += [("sent to", address) for address in posting.lists]
    rows += [("for Linux", posting.kernels)] if posting.kernels else []
    rows += [("base-commit", posting.base_commit)] if posting.base_commit else []
    rows += [("prerequisite-patch-id", each) for each in posting.prerequisites]
    rows += [("change-id", posting.change_id)] if posting.change_id else []
    rows += [("link", each) for each in posting.links]
    lines = [f"{title}: {text}" for title, text in rows]
    return [*lines, *map(trailer_line, posting.trailers)]


def trailer_line(trailer: Trailer) -> str:
    """Return how a trailer out of a reply is shown: it is no part of the patches yet."""
    where = f"patch {trailer.patch}" if trailer.patch else "all patches"
    return f"in a reply, for {where}: {trailer.text}"


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sort v4 before v10, 6.1 before 6.12."""
    parts = re.findall(r"0*(\d+)|(\D+)", text)
    # Without int(), which takes 4300 digits at most: of two numbers the one with more is greater.
    return [(0, len(number), number) if number else (1, 0, word) for number, word in parts]
