"""One run: its request, its folder, and its stages, each timed and recorded.

Each property of :class:`Run` is a stage, computed on first use; it asks for the stages before
it, so that a subcommand just names the last one it needs.
"""

from __future__ import annotations

import datetime
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import toolkit
from toolkit.core.arch import host_arch
from toolkit.core.deadline import Deadline
from toolkit.core.errors import InfrastructureError
from toolkit.core.model.comparison import Comparison, PatchStep
from toolkit.core.model.kernel import Fragment, KernelBase, KernelBuild, KernelConfig
from toolkit.core.model.machine import Accelerator, GuestImage, Splat
from toolkit.core.model.result import RunResult, StageRecord, Verdict
from toolkit.core.model.series import PatchedTree, PatchSeries
from toolkit.core.model.testing import BuiltSuite, Leaf
from toolkit.core.observer import Observer, PrefixedObserver
from toolkit.core.paths import Paths
from toolkit.host import process
from toolkit.host.cache import Cache
from toolkit.kernel import gcov_build, kconfig, profile, source, worktree
from toolkit.kernel.kbuild import Builder
from toolkit.report import history
from toolkit.series import catalog, patching
from toolkit.testing import in_tree_suites, suites, verdicts
from toolkit.testing.gcda import Counters
from toolkit.testing.result_cache import ResultCache
from toolkit.testing.runner import Runner
from toolkit.vm import accelerator, image, qemu_argv
from toolkit.vm.factory import MachineFactory
from toolkit.vm.pool import MachinePool
from toolkit.workflow import provenance, saved_build
from toolkit.workflow.request import Request
from toolkit.workflow.saved_build import Bundle

PROBE_SECONDS = 60.0

T = TypeVar("T")


class Run:
    """One run: its request, its folder, and what its stages have made so far."""

    def __init__(self, request: Request, paths: Paths, folder: Path, observer: Observer) -> None:
        self.request = request
        self.paths = paths
        self.folder = folder
        self.observer = observer
        self.arch = host_arch()
        self.cache = Cache(paths.cache, cold=request.cold, on_damage=observer.notice)
        self.deadline = Deadline.after(request.seconds)
        self.stages: list[StageRecord] = []
        self.leaves: list[Leaf] = []
        self.splats: list[Splat] = []
        self.comparison: Comparison | None = None
        self.steps: list[PatchStep] = []
        self.qemu_version = ""
        self.compiler = ""
        self.memory: ResultCache | None = None  # set by who runs again and again
        self._began = time.monotonic()
        self._started = datetime.datetime.now(datetime.UTC)
        self.builder = Builder(
            self.cache, self.arch, worktree.materialise, request.jobs, observer, request.replay
        )

        if request.saved:
            self._take(saved_build.load(request.saved))

    def _take(self, saved: Bundle) -> None:
        """Have the stages up to the built selftests done already."""
        self.base, self.series = saved.base, saved.series
        self.kernel, self.image = saved.kernel, saved.image
        self.built_suites = in_tree_suites.chosen(saved.suites, self.request.suites)
        (self.folder / "kernel.config").write_text(saved.kernel.config.read_text())

    def bundle(self) -> Bundle:
        """Return what has been built, to be saved; builds what is missing."""
        return Bundle(self.kernel, self.image, self.built_suites, self.base, self.series)

    def stage(self, name: str, work: Callable[[], tuple[T, bool, str]]) -> T:
        """Run a stage: ``work`` returns its result, whether it was found, and a word on it."""
        self.observer.stage_started(name)
        began = time.monotonic()
        try:
            value, cached, detail = work()
        except BaseException:
            self.observer.stage_failed(name)
            raise
        record = StageRecord(name, round(time.monotonic() - began, 3), cached, detail)
        self.stages.append(record)
        self.observer.stage_finished(record)
        return value

    # --- the stages ------------------------------------------------------------------

    @functools.cached_property
    def base(self) -> KernelBase:
        """The unpacked kernel source."""

        def work() -> tuple[KernelBase, bool, str]:
            provider = source.parse(self.request.kernel)
            base, found = provider.fetch(self.cache, self.observer, self.deadline)
            return base, found, f"{base.name}, Linux {base.release}"

        return self.stage("fetch", work)

    @functools.cached_property
    def series(self) -> PatchSeries | None:
        """The series, in the form for this kernel; None for the unpatched base."""
        if self.request.patch is None:
            return None
        return catalog.resolve(self.request.patch, self.paths.patches, self.base.release)

    @functools.cached_property
    def tree(self) -> PatchedTree:
        """The base with the series applied."""

        def work() -> tuple[PatchedTree, bool, str]:
            tree = patching.apply(base, wanted, self.deadline)
            if wanted is None:
                return tree, False, "no patches"
            count = len(wanted.patches)
            return tree, False, f"{wanted.name}, {count} patches, {len(tree.files)} files"

        base, wanted = self.base, self.series
        return self.stage("patch", work)

    @functools.cached_property
    def wanted_suites(self) -> tuple[suites.Suite, ...]:
        """The suites asked for, else those that the series names."""
        names = self.request.suites or (self.series.suites if self.series else ())
        return tuple(suites.find(self.paths.suites, name, lambda: self.tree) for name in names)

    @functools.cached_property
    def fragments(self) -> tuple[Fragment, ...]:
        """Who asks for which options: image, suites, series, profile, coverage, in this order."""
        image_config = image.kernel_config(self.request.image, self.paths.images)
        found = [kconfig.parse_fragment(image_config.read_text(), f"image {self.request.image}")]
        found += [each for suite in self.wanted_suites for each in suite.fragments]
        if self.series and self.series.kconfig:
            text = "\n".join(self.series.kconfig)
            found.append(kconfig.parse_fragment(text, f"series {self.series.name}"))
        if self.request.profile:
            found.append(self.request.profile)
        if self.request.coverage:
            found.append(profile.load("coverage"))
        return tuple(found)

    @functools.cached_property
    def config(self) -> KernelConfig:
        """The kernel configuration, checked against what was asked."""

        def work() -> tuple[KernelConfig, bool, str]:
            config, found = self.builder.configure(tree, fragments, self.deadline)
            self.compiler = self.builder.compiler(self.deadline)
            (self.folder / "kernel.config").write_text(config.text)
            return config, found, f"tinyconfig and {sum(len(f.options) for f in fragments)} options"

        tree, fragments = self.tree, self.fragments
        return self.stage("configure", work)

    @functools.cached_property
    def kernel(self) -> KernelBuild:
        """The built kernel, modules and headers."""

        def work() -> tuple[KernelBuild, bool, str]:
            log = self.folder / "build.log"
            build, found = self.builder.build(tree, config, self.deadline, log)
            return build, found, f"Linux {build.release}"

        tree, config = self.tree, self.config
        return self.stage("build", work)

    @functools.cached_property
    def image(self) -> GuestImage:
        """The guest's user land."""

        def work() -> tuple[GuestImage, bool, str]:
            made, found = image.build_image(
                self.request.image, self.paths.images, self.cache, self.observer, self.deadline
            )
            memory = max([made.memory_mib, *(suite.memory_mib for suite in self.wanted_suites)])
            return replace(made, memory_mib=memory), found, made.name

        return self.stage("image", work)

    @functools.cached_property
    def accelerator(self) -> Accelerator:
        """What runs the machines, and why."""

        def work() -> tuple[Accelerator, bool, str]:
            binary = process.find(self.arch.qemu, self.arch.qemu_package)
            version = process.run([binary, "--version"], deadline=self.deadline).text
            self.qemu_version = qemu_argv.parse_version(version)
            chosen, found = accelerator.probe(
                self.request.accel,
                binary,
                kernel.image,
                self.cache,
                self.deadline.sooner(PROBE_SECONDS),
            )
            return chosen, found, chosen.name

        kernel = self.kernel
        chosen = self.stage("accelerator", work)
        self.observer.notice(f"accelerator: {chosen.name} ({chosen.reason})")
        return chosen

    @functools.cached_property
    def built_suites(self) -> tuple[BuiltSuite, ...]:
        """The selftests, built against the tree's own headers."""

        def work() -> tuple[tuple[BuiltSuite, ...], bool, str]:
            made = [
                suites.build(
                    self.builder,
                    suite,
                    tree,
                    kernel,
                    log=self.folder / f"selftests-{suite.name}.log",
                    deadline=self.deadline,
                )
                for suite in self.wanted_suites
            ]
            count = sum(len(built.programs) for built, _ in made)
            return (
                tuple(built for built, _ in made),
                all(found for _, found in made),
                f"{count} programs",
            )

        tree, kernel = self.tree, self.kernel
        return self.stage("selftests", work)

    @functools.cached_property
    def testbed(self) -> MachinePool:
        """Where machines with all of this come from."""
        maker = MachineFactory(
            arch=self.arch,
            cache=self.cache,
            kernel=self.kernel,
            image=self.image,
            accelerator=self.accelerator,
            qemu_version=self.qemu_version,
            append=self.request.append,
        )
        return MachinePool(
            maker=maker,
            cache=self.cache,
            folder=self.folder,
            observer=self.observer,
            deadline=self.deadline,
            stages=self.stages,
            on_boot_splats=self._keep_boot_splats,
            snapshots=self.request.snapshots,
        )

    # --- tests -----------------------------------------------------------------------

    @functools.cached_property
    def counters(self) -> Counters | None:
        """What fetches the kernel's counters of lines; None where nobody asked for them."""
        wanted = self.request.coverage and self.series is not None
        profiled = gcov_build.load(self.kernel.path) if wanted else None
        return Counters(profiled, self.folder / "coverage") if profiled else None

    @functools.cached_property
    def trial(self) -> Runner:
        """The test programs and what they gave."""
        return Runner(
            testbed=self.testbed,
            suites=self.built_suites,
            folder=self.folder,
            observer=self.observer,
            deadline=self.deadline,
            environment=self.request.test_environment,
            known=verdicts.known_here(self.series, self.built_suites, self.accelerator.name),
            isolation=self.request.isolation,
            machines=self.request.machines,
            leaves=self.leaves,
            splats=self.splats,
            memory=self.memory,
            repeat=self.request.repeat,
            named=self.request.tests,
            took=self._took(),
            witness=self.counters,
        )

    def _took(self) -> dict[str, float]:
        """Return how long the programs took when they last ran; nothing of it changes a result."""
        programs = [program for built in self.built_suites for program in built.programs]
        try:
            names = [f"{each.suite}/{each.name}" for each in programs]
            return history.program_seconds(self.paths.history, names)
        except InfrastructureError:
            return {}  # said when this run is recorded

    def test(self) -> None:
        """Run the programs and keep their leaves and splats.

        Raises :class:`UserError` when one is asked for that there is not.
        """
        trial = self.trial
        programs = trial.select(self.request.tests)

        def work() -> tuple[None, bool, str]:
            standing = trial.run(programs)
            said = f", {standing} of {trial.runs} programs unchanged" if standing else ""
            return None, standing == trial.runs, f"{len(self.leaves)} cases{said}"

        with self.testbed.in_use():
            if self.memory is None:
                self.testbed.start()  # a stage of its own in the display
            self.stage("test", work)
        if not self.request.tests:
            for said in verdicts.stale(self.leaves, trial.known):
                self.observer.notice(said)

    def beside(self, label: str, series: PatchSeries | None) -> Run:
        """Return a run of the same base with ``series``, in all else like this one.

        It has the configuration of this run; Kconfig leaves out what the other tree does not have.
        It tells its stages as "label: stage", and its cases not at all.
        """
        folder = self.folder / label
        folder.mkdir(parents=True)
        observer = PrefixedObserver(self.observer, label)
        other = Run(replace(self.request, patch=None), self.paths, folder, observer)
        other.cache, other.deadline = self.cache, self.deadline
        other.builder = replace(self.builder, observer=observer)
        other.base, other.config = self.base, self.config
        other.series = replace(series, known_failures=()) if series else None
        return other

    def _keep_boot_splats(self, name: str, splats: tuple[Splat, ...]) -> None:
        """A kernel that complains while booting fails the run, too."""
        if splats:
            self.splats += [replace(each, during=name) for each in splats]
            self.leaves.append(verdicts.dmesg_leaf(name, splats))
            self.observer.test_finished(self.leaves[-1])

    # --- the end ---------------------------------------------------------------------

    def result(
        self, verdict: Verdict, exit_code: int, message: str = "", detail: Sequence[str] = ()
    ) -> RunResult:
        """Return everything known of the run."""
        done = self.__dict__  # cached properties that were reached
        base, tree_series = done.get("base"), done.get("series")
        kernel, accelerator = done.get("kernel"), done.get("accelerator")
        return RunResult(
            verdict=verdict,
            exit_code=exit_code,
            command=self.request.command,
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._began, 3),
            toolkit=toolkit.__version__,
            message=message,
            detail=tuple(detail),
            series=tree_series.name if tree_series else (self.request.patch or ""),
            patches=tuple(patch.subject for patch in tree_series.patches) if tree_series else (),
            kernel=base.name if base else self.request.kernel,
            release=kernel.release if kernel else (base.release if base else ""),
            accelerator=accelerator.name if accelerator else "",
            accelerator_reason=accelerator.reason if accelerator else "",
            qemu=self.qemu_version,
            stages=tuple(self.stages),
            leaves=tuple(self.leaves),
            splats=tuple(self.splats),
            mailing=tree_series.mailing if tree_series else None,
            comparison=self.comparison,
            steps=tuple(self.steps),
            environment=provenance.of(done, self.compiler, self.request.append),
        )
