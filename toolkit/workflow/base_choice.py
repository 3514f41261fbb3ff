"""Chooses the commit that a series is tested on, where the caller leaves that open.

``--kernel auto:PATH`` asks a repository for the newest base that the series applies to, and
``--kernel git:PATH`` without a revision takes the commit that the series says it was made on. Only
the files that the patches name are read for that, and no work tree is touched.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core import paths as places
from toolkit.core.deadline import Deadline
from toolkit.core.errors import RejectedError, ToolkitError, UserError
from toolkit.core.model.kernel import KernelBase
from toolkit.core.model.series import PatchSeries
from toolkit.core.paths import Paths
from toolkit.formats import patchfile
from toolkit.host.git import Repository
from toolkit.kernel import source
from toolkit.kernel.source import git, provider, tree
from toolkit.series import catalog, patching, place
from toolkit.series.place import Commits
from toolkit.workflow.request import Request

AUTO = "auto"
SECONDS = 120.0  # for the whole search
MAX_CANDIDATES = 500  # commits looked at
MAX_LOOKUPS = 200_000  # files looked for in them
MAX_TRIALS = 60  # commits that differ in these files, and that the series is tried on
_SHOWN = 5
_MAKEFILE = "Makefile"
_GIT = "git:"


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a run before it has a base: its kernel and series, as they were named."""

    kernel: str
    patch: str | None
    version: int | None  # of the series
    series: Path  # the folder of the carried ones

    @classmethod
    def of(cls, request: Request, paths: Paths) -> Asked:
        """Return what a request has of it."""
        return cls(request.kernel, request.patch, request.series_version, paths.patches)

    def series_for(self, release: str | None, deadline: Deadline) -> PatchSeries | None:
        """Return the series in the form for a kernel; None for the unpatched base."""
        deadline.check("the search for a base")
        if self.patch is None:
            return None
        return catalog.resolve(self.patch, self.series, release, self.version)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A kernel source that names its commit, and what the caller should know of the choice."""

    kernel: str
    notices: tuple[str, ...] = ()


def choose(asked: Asked, deadline: Deadline) -> Chosen:
    """Return the kernel that is asked for, its commit chosen where that was left open.

    Raises :class:`UserError` where there is no such series, and where it applies to nothing that
    was tried: both before a source is fetched.
    """
    if asked.patch is not None:
        catalog.require(asked.patch, asked.series)
    own = deadline.sooner(SECONDS)
    word, _, rest = asked.kernel.partition(":")
    if word == AUTO:
        return _search(asked, _repository(asked, rest), own)
    kernel = source.parse(asked.kernel)
    open_revision = isinstance(kernel, git.Git) and kernel.revision == git.DEFAULT
    if not open_revision or asked.kernel.endswith(f"@{git.DEFAULT}") or asked.patch is None:
        return Chosen(asked.kernel)
    assert isinstance(kernel, git.Git)
    return _made_on(asked, kernel.path, own)


def _repository(asked: Asked, rest: str) -> Path:
    if rest:
        return places.expand(rest)
    where = place.parse(asked.patch) if asked.patch else None
    return where.path if isinstance(where, Commits) else Path.cwd()


def _made_on(asked: Asked, path: Path, deadline: Deadline) -> Chosen:
    """Return the commit that the series was made on, where the repository has it, else HEAD."""
    series = asked.series_for(None, deadline)
    base = series.posting.base_commit if series else ""
    if not base or not path.is_dir():
        return Chosen(asked.kernel)
    repository = Repository(path)
    if not repository.has_commit(base, deadline):
        there = f"the series was made on commit {base[:12]}, which {path} does not have"
        return Chosen(asked.kernel, (f"{there}: HEAD is taken",))
    words = f"kernel: {repository.describe(base, deadline)}, the base-commit of the series"
    return Chosen(f"{_GIT}{path}@{base}", (f"{words} (@HEAD takes HEAD)",))


# --- the search ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A commit: how the caller is told of it, its name in hex, and the release it makes."""

    shown: str
    commit: str
    release: str
    form: str  # of the series: catalog.form()


@dataclass(slots=True)
class _Trials:
    """What was tried, and why the series did not apply; ``left_out``: why a commit was not."""

    rejected: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def _search(asked: Asked, path: Path, deadline: Deadline) -> Chosen:
    if asked.patch is None:
        raise UserError(
            f"--kernel {AUTO} finds a base for a series, and there is none",
            hint="name a series with --patch, or a kernel with --kernel",
        )
    if not path.is_dir():
        raise UserError(f"{asked.kernel}: there is no folder {path}", hint="write auto:PATH")
    repository = Repository(path)
    repository.folder(deadline)
    newest = asked.series_for(None, deadline)
    assert newest is not None  # there is a name for it
    base = newest.posting.base_commit
    has_base = bool(base) and repository.has_commit(base, deadline)
    trials = _Trials()
    candidates = _candidates(newest, repository, base if has_base else "", trials, deadline)
    for candidate, reason in _tried(asked, repository, candidates, deadline):
        if not reason:
            return _found(candidate, path, trials)
        trials.rejected.append(f"{candidate.shown}: {reason}")
    raise _none(path, base, has_base, trials)


def _found(candidate: _Candidate, path: Path, trials: _Trials) -> Chosen:
    words = f"kernel: {candidate.shown} of {path}, Linux {candidate.release}"
    before = [*trials.rejected, *trials.left_out]
    tried = _some([each.partition(": ")[0] for each in before])
    notice = f"{words}; tried before: {tried}" if tried else words
    return Chosen(f"{_GIT}{path}@{candidate.commit}", (notice,))


def _none(path: Path, base: str, has_base: bool, trials: _Trials) -> UserError:
    hint = f"name a base with --kernel {_GIT}{path}@REV, or rebase the series"
    if base and not has_base:
        hint = (
            f"it was made on commit {base[:12]}, which {path} does not have: fetch that; or {hint}"
        )
    count = len(trials.rejected)
    if not count and not trials.left_out:
        hint = f"name the repository of a kernel: --kernel {AUTO}:PATH"
        return UserError(f"{path} has no commit of a Linux kernel that could be tried", hint=hint)
    detail = [*trials.rejected, *trials.left_out]
    if more := detail[2 * _SHOWN :]:
        detail[2 * _SHOWN :] = [f"and {len(more)} more"]
    return UserError(
        f"the series applies to none of {count} bases of {path}", hint=hint, detail=detail
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _candidates(
    series: PatchSeries, repository: Repository, base: str, trials: _Trials, deadline: Deadline
) -> list[_Candidate]:
    """Return the commits in question: the base-commit, HEAD, and the tags, the newest first."""
    named = {base: f"base-commit {base[:12]}"} if base else {}
    if repository.has_commit("HEAD", deadline):
        named.setdefault(repository.commit("HEAD", deadline).id, "HEAD")
    for name, commit in repository.versions(deadline)[:MAX_CANDIDATES]:
        named.setdefault(commit, name)
    makefiles = repository.blobs([(commit, _MAKEFILE) for commit in named], deadline)
    blobs = list(dict.fromkeys(makefiles.values()))
    releases = dict(zip(blobs, map(_release, repository.contents(blobs, deadline)), strict=True))
    candidates = []
    for commit, name in named.items():
        release = releases.get(makefiles.get((commit, _MAKEFILE), ""), "")
        if not release:
            continue
        shown = f"{name} ({commit[:12]})" if name == "HEAD" else name
        try:
            form = catalog.form(series, release)
        except UserError as error:
            trials.left_out.append(f"{shown}: {error.what}")
            continue
        candidates.append(_Candidate(shown, commit, release, form))
    return candidates


def _release(makefile: bytes) -> str:
    """Return the release that a Makefile makes; "" where it is no kernel's."""
    try:
        return provider.release_of(makefile.decode(errors="replace"))
    except ValueError:
        return ""


def _tried(
    asked: Asked, repository: Repository, candidates: Sequence[_Candidate], deadline: Deadline
) -> Iterator[tuple[_Candidate, str]]:
    """Yield each candidate that differs from those before, and why the series does not apply."""
    series: dict[str, PatchSeries] = {}
    blobs: dict[str, dict[tuple[str, str], str]] = {}
    answers: dict[tuple[str, tuple[str, ...]], str] = {}
    for candidate in candidates:
        form = candidate.form
        try:
            if form not in series:
                whole = asked.series_for(candidate.release, deadline)
                assert whole is not None  # its caller has looked
                series[form] = whole
                names = _names(whole)
                alike = [each.commit for each in candidates if each.form == form]
                most = max(1, MAX_LOOKUPS // max(len(names), 1))
                wanted = [(commit, name) for commit in alike[:most] for name in names]
                blobs[form] = repository.blobs(wanted, deadline)
        except UserError as error:
            yield candidate, error.what
            continue
        names = _names(series[form])
        state = tuple(blobs[form].get((candidate.commit, name), "") for name in names)
        if (form, state) not in answers:
            if len(answers) >= MAX_TRIALS:
                return
            files = {name: blob for name, blob in zip(names, state, strict=True) if blob}
            answers[form, state] = _trial(repository, series[form], files, deadline)
        yield candidate, answers[form, state]


def _names(series: PatchSeries) -> list[str]:
    """Return the paths that a series names, and those above them, which must be no files."""
    names = {
        path
        for patch in series.patches
        for part in patchfile.sections(patch)
        for path in part.paths
    }
    above = {str(each) for name in names for each in Path(name).parents} - {"."}
    return sorted(names | above)


def _trial(
    repository: Repository, series: PatchSeries, files: dict[str, str], deadline: Deadline
) -> str:
    """Return why a series does not apply where these are the files, and "" where it does."""
    with tempfile.TemporaryDirectory(prefix="toolkit-base-") as name:
        folder = Path(name).resolve()
        contents = repository.contents(list(files.values()), deadline)
        for path, content in zip(files, contents, strict=True):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        try:
            patching.apply(KernelBase("", "", folder, ""), series, deadline)
        except UserError as error:
            return error.what
    return ""


# --- a series that does not apply -----------------------------------------------------------------


def explained(
    error: RejectedError, base: KernelBase, series: PatchSeries, patch: str, deadline: Deadline
) -> RejectedError:
    """Return the error of a series that does not apply, with what it was made for."""
    words = [f"it was posted for Linux {series.posting.kernels}"] if series.posting.kernels else []
    if commit := series.posting.base_commit:
        words.append(_made_for(commit, base, patch, deadline))
    if not words:
        return error
    hint = f"{'; '.join(words)}. Else {error.hint}"
    return RejectedError(error.what, hint=hint, detail=error.detail)


def _made_for(commit: str, base: KernelBase, patch: str, deadline: Deadline) -> str:
    """Return which commit a series was made for, and how to get it as the base."""
    short = commit[:12]
    path = _history_of(base.name, patch)
    try:
        if path and Repository(path).has_commit(commit, deadline):
            name = Repository(path).describe(commit, deadline.sooner(10))
            known = name if name == short else f"{name} ({short})"
            return f"it was made for {known}: --kernel {_GIT}{path}@{short}"
    except ToolkitError:
        path = None  # it is no repository, or too slow
    there = f"which {path} does not have" if path else f"not for Linux {base.release}"
    return f"it was made for commit {short}, {there}: --kernel {AUTO}:PATH names a repository"


def _history_of(kernel: str, patch: str) -> Path | None:
    """Return the repository that belongs to a kernel source, or else to a series."""
    found = source.parse(kernel)
    if isinstance(found, git.Git | tree.Tree):
        return found.path
    where = place.parse(patch)
    return where.path if isinstance(where, Commits) else None
