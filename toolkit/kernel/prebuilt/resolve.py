"""The configuration of a packaged kernel, with what a series and others ask for on top."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import Prebuilt
from toolkit.core.model.series import PatchedTree
from toolkit.host import process
from toolkit.host.cache import digest
from toolkit.kernel import kconfig, kconfig_explain
from toolkit.kernel.build_folders import WorkTree
from toolkit.kernel.configure import absent_pahole, pahole_version
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.kconfig import Dropped
from toolkit.kernel.prebuilt import options
from toolkit.kernel.prebuilt.reach import ReachError

Asked = Mapping[str, tuple[str, str]]  # option: its value, and who asks
_KIND = "config"
_KCONFIG = re.compile(r"(.*/)?Kconfig[^/]*")
_UNREAD = ("Documentation", "tools")  # no part of a kernel is made from these


def tools(builder: Builder, deadline: Deadline) -> list[str]:
    """Return what identifies the programs that a configuration depends on, for keys."""
    return [builder.compiler(deadline), pahole_version(deadline), builder.arch.name]


def refuse_unmet(prebuilt: Prebuilt, tree: PatchedTree, asked: Asked, srcarch: str) -> list[str]:
    """Return the options ``asked`` for that only the series can bring.

    Raises :class:`ReachError` for one that the base has, and the packaged kernel not as asked.
    """
    unmet = options.unmet(prebuilt.config.read_text(), asked)
    known = kconfig_explain.symbols(kconfig_explain.below(tree.base.path), srcarch) if unmet else {}
    for item in unmet:
        if item.option.removeprefix("CONFIG_") in known:
            raise ReachError(_lacks(item))
    return [item.option for item in unmet]


def _lacks(item: Dropped) -> str:
    return f"{item.origin} asks for {item.option}={item.wanted}, and it has {item.got}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What Kconfig makes of a packaged kernel's configuration for a patched tree.

    ``new`` are the options in it that the series brings, and ``dropped`` the wishes that no Kconfig
    file knows.
    """

    config: str
    new: frozenset[str] = frozenset()
    dropped: tuple[Dropped, ...] = ()


def resolved(
    builder: Builder,
    work: WorkTree,
    prebuilt: Prebuilt,
    asked: Asked,
    *,
    new: Collection[str],
    wishes: Collection[str],
) -> Resolved:
    """Return the configuration to build modules with.

    ``new`` are the options of ``asked`` that only the series can bring, and ``wishes`` those that
    may be dropped. Raises :class:`ReachError` where it would be another kernel's configuration.
    """
    tree = work.tree
    before = _of_base(builder, work, prebuilt)
    try:
        options.check_same(prebuilt.config.read_text(), before)
    except ReachError as error:
        raise ReachError(f"{error}{absent_pahole(work.deadline)}") from error
    if not new and not any(_KCONFIG.fullmatch(path) for path in tree.files):
        return Resolved(before)
    wanted = {option: asked[option] for option in new}
    after = _olddefconfig(builder, work, work.source(), prebuilt, before + kconfig.render(wanted))
    dropped = kconfig.dropped(after, wanted)
    for item in dropped:
        if item.option not in wishes:
            raise ReachError(_lacks(item))

    def mentioned(names: Collection[str]) -> set[str]:
        return _mentioned(tree.base.path, names, work.deadline)

    return Resolved(after, options.new_options(before, after, mentioned), tuple(dropped))


def _of_base(builder: Builder, work: WorkTree, prebuilt: Prebuilt) -> str:
    """Return what the base's Kconfig and this host's programs make of a package's configuration."""
    base = work.tree.base

    def fill(folder: Path) -> None:
        text = prebuilt.config.read_text()
        text = _olddefconfig(builder, work, base.path, prebuilt, text)
        (folder / "config").write_text(text)

    key = digest("packaged", base.key, prebuilt.key, *tools(builder, work.deadline))
    path, _ = builder.cache.make(_KIND, key, fill, deadline=work.deadline, label=base.name)
    return (path / "config").read_text()


def _olddefconfig(
    builder: Builder, work: WorkTree, source: Path, prebuilt: Prebuilt, text: str
) -> str:
    folder = work.place("conf-packaged")
    folder.mkdir(exist_ok=True)
    (folder / ".config").write_text(text)
    make = builder.make(source, folder, work.deadline, work.tree)
    make.run("olddefconfig", release_word(prebuilt))
    return (folder / ".config").read_text()


def release_word(prebuilt: Prebuilt) -> str:
    """Return what make has to be given so that modules say they are of the packaged kernel."""
    return f"KERNELRELEASE={prebuilt.release}"


def _mentioned(tree: Path, names: Collection[str], deadline: Deadline) -> set[str]:
    """Return which of the options stand in any file of a tree; in Kconfig's own without CONFIG_."""
    found: set[str] = set()
    if not names:
        return found
    bare = [name.removeprefix("CONFIG_") for name in names]
    for words, place in (
        ([*names, *(f"{name}_MODULE" for name in names)], "--exclude=Kconfig*"),
        (bare, "--include=Kconfig*"),
    ):
        argv = ["grep", "-rhow", place, *(f"--exclude-dir={name}" for name in _UNREAD)]
        argv += [part for word in words for part in ("-e", word)]
        done = process.run([*argv, str(tree)], deadline=deadline, check=False)
        found |= {f"CONFIG_{line.removeprefix('CONFIG_')}" for line in done.text.split()}
    return {name for name in names if {name, f"{name}_MODULE"} & found}
