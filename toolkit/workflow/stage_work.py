"""The work of a run's stages up to its machines, each a function from what the stages before gave.

Each returns its result, whether all of it came from the cache, and a detail for the display
(:data:`toolkit.core.stages.Work`).
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.core import files
from toolkit.core.arch import Arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError, RejectedError, UserError
from toolkit.core.model.kernel import Fragment, KernelBase, KernelBuild, KernelConfig
from toolkit.core.model.machine import Accelerator, GuestImage
from toolkit.core.model.series import PatchedTree, PatchSeries
from toolkit.core.model.testing import BuiltSuite
from toolkit.core.observer import Observer
from toolkit.core.paths import Paths
from toolkit.core.text import counted
from toolkit.host import process
from toolkit.host.cache import Cache
from toolkit.kernel import configure as configuration
from toolkit.kernel import gcov_build, kconfig, profile, source, starting_config, worktree
from toolkit.kernel.configure import Wanted
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.toolchain import GCC
from toolkit.report import history
from toolkit.series import patching
from toolkit.testing import (
    in_tree_suites,
    kunit,
    kvm_unit_tests,
    program_names,
    suite_build,
    suite_names,
    suites,
)
from toolkit.vm import accelerator, image, qemu_argv
from toolkit.workflow import base_choice, host_programs, saved_build
from toolkit.workflow.base_choice import Asked
from toolkit.workflow.reached import Reached
from toolkit.workflow.request import Request

PROBE_SECONDS = 60.0
OF_IMAGE = "image "  # begins the origin of an image's options
_VERSION_SECONDS = 10.0  # for QEMU to print its version


def open_cache(request: Request, paths: Paths, observer: Observer, folder: Path) -> Cache:
    """Return the cache as the run in ``folder`` uses it."""
    shared = None
    if url := request.shared_cache:
        # Takes a cryptographic library, which no other run needs at its start.
        from toolkit.host.shared.keys import Keyring  # noqa: PLC0415
        from toolkit.host.shared.store import SharedCache  # noqa: PLC0415

        shared = SharedCache(url, Keyring(paths.settings), observer.notice)
    return Cache(
        paths.cache,
        cold=request.cold,
        on_damage=observer.notice,
        on_wait=observer.waiting,
        command=shlex.join(request.command),
        folder=folder,
        shared=shared,
    )


def builder(request: Request, cache: Cache, arch: Arch, observer: Observer) -> Builder:
    """Return what configures and builds the kernels of a run."""
    return Builder(
        cache,
        arch,
        worktree.materialise,
        request.jobs,
        observer,
        replay=request.replay,
        toolchain=request.toolchain or GCC,
    )


def saved(request: Request, folder: Path) -> Reached:
    """Return what the saved build of a request holds: the stages up to the selftests.

    The kernel's configuration is written into the run's ``folder``. Raises :class:`UserError` for
    a build for another architecture, or one without what is asked for beside the tests.
    """
    assert request.saved
    bundle = saved_build.load(request.saved)
    if bundle.arch != request.arch.name:
        raise UserError(
            f"{request.saved} holds a build for {bundle.arch}", hint=f"add --arch {bundle.arch}"
        )
    tree = saved_build.load_tree(request.saved, bundle)
    if request.baseline and not bundle.baseline:
        raise _not_saved(request.saved, "--baseline")
    if request.coverage and not (tree and gcov_build.load(bundle.kernel.path)):
        raise _not_saved(request.saved, "--coverage")
    (folder / "kernel.config").write_text(bundle.kernel.config.read_text())
    return Reached(
        base=bundle.base,
        series=bundle.series,
        tree=tree,
        baseline=bundle.baseline,
        kernel=bundle.kernel,
        image=bundle.image,
        built_suites=in_tree_suites.chosen(bundle.suites, request.suites),
    )


def _not_saved(folder: Path, option: str) -> UserError:
    return UserError(
        f"{folder} holds nothing for {option}",
        hint=f"save it again: toolkit build {option} --save DIR",
    )


def fetch(
    asked: Asked, cache: Cache, observer: Observer, deadline: Deadline
) -> tuple[KernelBase, bool, str]:
    """Choose a kernel source where that is left open; fetch and unpack it."""
    chosen = base_choice.choose(asked, deadline)
    for notice in chosen.notices:
        observer.notice(notice)
    base, cached = source.parse(chosen.kernel).fetch(cache, observer, deadline)
    return base, cached, f"{base.name}, Linux {base.release}"


def patch(
    base: KernelBase, series: PatchSeries | None, named: str | None, deadline: Deadline
) -> tuple[PatchedTree, bool, str]:
    """Apply the series, in memory; ``named`` is what the caller calls it."""
    try:
        tree = patching.apply(base, series, deadline)
    except RejectedError as error:
        if series is None or named is None:
            raise
        raise base_choice.explained(error, base, series, named, deadline) from error
    if series is None:
        return tree, False, "no patches"
    patches = counted(len(series.patches), "patch", "patches")
    return tree, False, f"{series.name}, {patches}, {counted(len(tree.files), 'file')}"


def wanted_suites(
    request: Request,
    series: PatchSeries | None,
    paths: Paths,
    tree: Callable[[], PatchedTree],
    *,
    builder: Builder,
    deadline: Deadline,
) -> tuple[suites.Suite, ...]:
    """Return the suites asked for, else those that the series names, else those that it changes.

    ``tree`` is asked for only where it is needed. Raises :class:`UserError`, before anything is
    built, for a --test that names no program, and for two suites of one name.
    """
    names = request.suites or (series.suites if series else ())
    if not names and series and (names := in_tree_suites.touched(tree())):
        changed = f"the series changes tests of the kernel tree: running {', '.join(names)}"
        builder.observer.notice(changed)

    def find(name: str) -> suites.Suite:
        if suite_names.is_kunit(name):
            return kunit.find(paths.suites, name, tree(), builder, deadline)
        if suite_names.is_kvm_unit_tests(name):
            return kvm_unit_tests.find(paths.suites, name, request.arch)
        return suites.find(paths.suites, name, tree, request.arch)

    wanted = tuple(map(find, in_tree_suites.expand(names, tree)))
    called = [suite.name for suite in wanted]
    if twice := next((name for name in called if called.count(name) > 1), ""):
        raise UserError(f"two suites are called {twice}", hint="name each once, or rename one")
    program_names.check(request.tests, wanted, tree)
    return wanted


def fragments(
    request: Request,
    paths: Paths,
    wanted: Sequence[suites.Suite],
    series: PatchSeries | None,
    *,
    packaged: bool = False,
) -> tuple[Fragment, ...]:
    """Return the options of image, suites, series, caller and coverage, in this order.

    A ``packaged`` kernel needs none of those that make one for people out of a tiny one.
    """
    # Refused before a build.
    image.read_manifest(request.image, paths.images, request.arch, request.packages)
    tiny = request.start == starting_config.TINY and not packaged
    asked = [
        kconfig.parse_fragment(files.text(path), f"{OF_IMAGE}{request.image}")
        for path in image.kernel_configs(request.image, paths.images, request.arch, tiny=tiny)
    ]
    asked += [each for suite in wanted for each in suite.fragments]
    if series and series.kconfig:
        asked.append(kconfig.parse_fragment("\n".join(series.kconfig), f"series {series.name}"))
    asked += request.options
    if request.coverage:
        asked.append(profile.load("coverage"))
    return tuple(asked)


def require_programs(request: Request) -> None:
    """Raise :class:`InfrastructureError` without what compiles, before anything takes long.

    For another architecture than the host's that is also what links its programs and boots it.
    """
    if request.toolchain:
        host_programs.require(request.arch)
        request.toolchain.require()


def wanted_config(request: Request, asked: Sequence[Fragment]) -> Wanted:
    """Return what the configuration of a run with these fragments is made of."""
    return Wanted(tuple(asked), request.start, request.all_modules)


def configure(
    builder: Builder, tree: PatchedTree, made_of: Wanted, folder: Path, deadline: Deadline
) -> tuple[tuple[KernelConfig, str], bool, str]:
    """Configure the kernel; the result has the compiler's name beside the configuration."""
    config, cached = configuration.configure(builder, tree, made_of, deadline)
    compiler = builder.compiler(deadline)
    (folder / "kernel.config").write_text(config.text)
    options = len({option for each in made_of.fragments for option in each.options})
    begin = made_of.start.target or made_of.start.name
    return (config, compiler), cached, f"{begin} and {counted(options, 'option')}"


def build(
    builder: Builder, tree: PatchedTree, config: KernelConfig, folder: Path, deadline: Deadline
) -> tuple[KernelBuild, bool, str]:
    """Build kernel, modules and headers; the log lies in ``folder``."""
    kernel, cached = builder.build(tree, config, deadline, folder / "build.log")
    return kernel, cached, f"Linux {kernel.release}"


def build_suites(
    builder: Builder,
    wanted: Sequence[suites.Suite],
    tree: PatchedTree,
    kernel: KernelBuild,
    *,
    folder: Path,
    deadline: Deadline,
) -> tuple[tuple[BuiltSuite, ...], bool, str]:
    """Build the selftests against the tree's own headers; their logs lie in ``folder``."""

    def build_one(suite: suites.Suite) -> tuple[BuiltSuite, bool]:
        if suite.kunit:
            return kunit.build(
                builder, suite, suite.kunit, tree=tree, kernel=kernel, deadline=deadline
            )
        log = folder / f"selftests-{suite.name}.log"
        if suite.unittests:
            return kvm_unit_tests.build(builder, suite, log, deadline)
        return suites.build(builder, suite, tree, kernel, log=log, deadline=deadline)

    built = []
    for number, suite in enumerate(wanted):
        builder.observer.stage_progress(suite_build.STAGE, number, len(wanted), suite.name)
        built.append(build_one(suite))
    count = sum(len(suite.programs) for suite, _ in built)
    return (
        tuple(suite for suite, _ in built),
        all(cached for _, cached in built),
        counted(count, "program"),
    )


def make_image(
    request: Request,
    paths: Paths,
    wanted: Sequence[suites.Suite],
    *,
    cache: Cache,
    observer: Observer,
    deadline: Deadline,
) -> tuple[GuestImage, bool, str]:
    """Make the guest's user land, with as much memory as the suites need."""
    made, cached = image.build_image(
        request.image,
        paths.images,
        cache,
        observer,
        deadline,
        arch=request.arch,
        packages=request.packages,
    )
    memory = max([made.memory_mib, *(suite.memory_mib for suite in wanted)])
    return replace(made, memory_mib=memory), cached, made.name


def choose_accelerator(
    name: str, arch: Arch, kernel: KernelBuild, cache: Cache, deadline: Deadline, *, nested: bool
) -> tuple[tuple[Accelerator, str], bool, str]:
    """Choose what runs the machines; the result has QEMU's version beside it.

    ``nested``: the guests need a KVM of their own.
    """
    binary = process.find(arch.qemu, arch.qemu_package)
    asking = deadline.sooner(_VERSION_SECONDS)
    version = qemu_argv.parse_version(process.run([binary, "--version"], deadline=asking).text)
    limit = deadline.sooner(PROBE_SECONDS)
    chosen, cached = accelerator.probe(
        name, binary, kernel.image, cache, limit, arch=arch, nested=nested
    )
    chosen = accelerator.suited(chosen, kernel.config.read_text(), arch, version)
    return (chosen, version), cached, chosen.name


def suites_for_other_kernel(built: Sequence[BuiltSuite]) -> tuple[BuiltSuite, ...]:
    """Return the programs of one kernel's run as another kernel's run has them.

    Where the series touches a suite, it may be what keeps a program from building; the other kernel
    does not have that fault.
    """
    return tuple(
        replace(suite, programs=tuple(each for each in suite.programs if not each.unbuilt))
        if suite.touched
        else suite
        for suite in built
    )


def last_runs(built: Sequence[BuiltSuite], database: Path) -> dict[str, history.LastRun]:
    """Return what became of each program when it last ran, by suite/program.

    No result depends on it, so a database that cannot be read is no error; there is a notice of it
    when the run is recorded.
    """
    names = [f"{each.suite}/{each.name}" for suite in built for each in suite.programs]
    try:
        return history.last_runs(database, names)
    except InfrastructureError:
        return {}


def folder(path: Path) -> Path:
    """Make the folder of another kernel's run and return it; one that is there is used again.

    Raises :class:`UserError` where a file is in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(
            f"{path} is a file, and the run of another kernel needs a folder there",
            hint="name another folder with --run-dir",
        ) from error
    return path
