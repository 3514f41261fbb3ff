"""One run: its request, its folder, and its stages, each timed and recorded.

A property of :class:`Run` is the frozen result of a stage, which is done on first use and asks for
the stages before it; so a subcommand just names the last one it needs. :attr:`Run.reached` says
which have been done.
"""

from __future__ import annotations

import datetime
import functools
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from toolkit.core.deadline import Deadline
from toolkit.core.model.kernel import Fragment, KernelBase, KernelBuild, KernelConfig
from toolkit.core.model.machine import Accelerator, GuestImage
from toolkit.core.model.series import PatchedTree, PatchSeries
from toolkit.core.model.testing import BuiltSuite
from toolkit.core.observer import Observer, PrefixedObserver
from toolkit.core.paths import Paths
from toolkit.core.stages import StageLog
from toolkit.core.text import counted
from toolkit.host.cache import Cache
from toolkit.kernel import gcov_build
from toolkit.kernel.kbuild import Builder
from toolkit.series import catalog
from toolkit.testing import suite_build, suites, verdicts
from toolkit.testing.gcda import Counters
from toolkit.testing.machines import Machines, MakeMachines
from toolkit.testing.pace import Pace
from toolkit.testing.result_cache import ResultCache
from toolkit.testing.runner import Runner
from toolkit.testing.tested import Tested
from toolkit.vm import kernel_log, preload
from toolkit.vm.factory import MachineFactory
from toolkit.vm.pool import MachinePool
from toolkit.workflow import packaged, stage_work
from toolkit.workflow.base_choice import Asked
from toolkit.workflow.reached import Findings, Reached
from toolkit.workflow.request import Request
from toolkit.workflow.saved_build import Bundle

_NOTHING = Reached()


class Run:
    """One run.

    ``reached`` holds results of stages that need not be done again; with ``request.saved`` they
    are those of the saved build. ``result_cache`` has results of test programs that still hold.
    ``origin`` is the run beside which this one tests another kernel (see :meth:`sibling`).
    """

    def __init__(
        self,
        request: Request,
        paths: Paths,
        folder: Path,
        observer: Observer,
        *,
        reached: Reached = _NOTHING,
        result_cache: ResultCache | None = None,
        make_pool: MakeMachines = MachinePool,
        origin: Run | None = None,
    ) -> None:
        kernel_log.check(request.append, console=request.arch.console)
        self.request, self.paths = request, paths
        self.folder, self.observer = folder, observer
        self.result_cache = result_cache
        self.stages = StageLog(observer)
        self.arch = request.arch
        self.cache: Cache
        self.deadline: Deadline
        self.builder: Builder
        if origin:
            self.cache, self.deadline = origin.cache, origin.deadline
            self.builder = replace(origin.builder, observer=observer)
        else:
            self.cache = stage_work.open_cache(request, paths, observer, folder)
            self.deadline = Deadline.after(request.seconds)
            self.builder = stage_work.builder(request, self.cache, self.arch, observer)
        self.began = time.monotonic()
        self.started = datetime.datetime.now(datetime.UTC)
        self._make_pool = make_pool
        self._origin = origin
        self._reached = stage_work.saved(request, folder) if request.saved else reached
        self._pool: Machines | None = None
        self._runner: Runner | None = None
        self._findings: Findings | None = None

    @property
    def reached(self) -> Reached:
        """The results of the stages that have been done."""
        return self._reached

    def bundle(self) -> Bundle:
        """Return what has been built, to be saved; builds what is missing."""
        made = self.kernel, self.image, self.built_suites, self.base, self.series
        return Bundle(*made, arch=self.arch.name)

    # --- what is built -----------------------------------------------------------------

    @property
    def base(self) -> KernelBase:
        """The unpacked kernel source."""
        if (base := self._reached.base) is None:
            stage_work.require_programs(self.request)
            asked = Asked.of(self.request, self.paths)
            work = partial(stage_work.fetch, asked, self.cache, self.observer, self.deadline)
            base = self.stages.run("fetch", work)
            self._reached = replace(self._reached, base=base)
        return base

    @property
    def series(self) -> PatchSeries | None:
        """The series, in the form for this kernel; None for the unpatched base."""
        patch = self.request.patch
        if self._reached.series is None and patch is not None and not self.request.saved:
            series = catalog.resolve(
                patch, self.paths.patches, self.base.release, self.request.series_version
            )
            for notice in series.notices:
                self.observer.notice(notice)
            self._reached = replace(self._reached, series=series)
        return self._reached.series

    @property
    def tree(self) -> PatchedTree:
        """The base with the series applied."""
        if (tree := self._reached.tree) is None:
            base, series, named = self.base, self.series, self.request.patch
            work = partial(stage_work.patch, base, series, named, self.deadline)
            tree = self.stages.run("patch", work)
            self._reached = replace(self._reached, tree=tree)
        return tree

    @functools.cached_property
    def wanted_suites(self) -> tuple[suites.Suite, ...]:
        """The suites asked for, or those of the series; see :func:`stage_work.wanted_suites`."""
        asked = self.request, self.series, self.paths, lambda: self.tree
        return stage_work.wanted_suites(*asked, builder=self.builder, deadline=self.deadline)

    @property
    def fragments(self) -> tuple[Fragment, ...]:
        """The options asked for, the stronger ones last."""
        if (fragments := self._reached.fragments) is None:
            wanted = self.wanted_suites
            fragments = stage_work.fragments(self.request, self.paths, wanted, self.series)
            self._reached = replace(self._reached, fragments=fragments)
        return fragments

    @property
    def config(self) -> KernelConfig:
        """The kernel configuration, checked against what was asked."""
        self._try_packaged()
        if (config := self._reached.config) is None:
            tree, wanted = self.tree, stage_work.wanted_config(self.request, self.fragments)
            config, compiler = self.stages.run(
                "configure",
                lambda: stage_work.configure(
                    self.builder, tree, wanted, self.folder, self.deadline
                ),
            )
            self._reached = replace(self._reached, config=config, compiler=compiler)
        return config

    @property
    def kernel(self) -> KernelBuild:
        """The built kernel, modules and headers."""
        self._try_packaged()
        if (kernel := self._reached.kernel) is None:
            tree, config = self.tree, self.config
            kernel = self.stages.run(
                "build",
                lambda: stage_work.build(self.builder, tree, config, self.folder, self.deadline),
            )
            self._reached = replace(self._reached, kernel=kernel)
        return kernel

    def _try_packaged(self) -> None:
        """Take the packaged kernel of the base where there is one, and it will do."""
        if self._reached.kernel is not None or self.base.prebuilt is None:
            return
        if reason := packaged.fault(self.request, self.paths):
            self.build_whole(reason)
            return
        wanted, series, tree = self.wanted_suites, self.series, self.tree
        asked = stage_work.fragments(self.request, self.paths, wanted, series, packaged=True)
        if self._origin:  # which is asked for options that this tree may not have
            asked = tuple(replace(each, soft=True) for each in asked)
        attempt = packaged.Attempt(self.builder, self.stages, self.folder, self.deadline)
        self._reached = attempt.reached(self._reached, tree, asked)

    def build_whole(self, reason: str) -> None:
        """Leave the packaged kernel that the base may have, and show the ``reason``."""
        _ = self.base
        self._reached = packaged.without(self._reached, self.observer, reason)

    @property
    def built_suites(self) -> tuple[BuiltSuite, ...]:
        """The selftests, built against the tree's own headers."""
        if (built := self._reached.built_suites) is None:
            if self._origin:
                built = stage_work.suites_for_other_kernel(self._origin.built_suites)
            else:
                built = self._build_suites()
            self._reached = replace(self._reached, built_suites=built)
        return built

    def _build_suites(self) -> tuple[BuiltSuite, ...]:
        tree, kernel, wanted = self.tree, self.kernel, self.wanted_suites
        return self.stages.run(
            suite_build.STAGE,
            lambda: stage_work.build_suites(
                self.builder, wanted, tree, kernel, folder=self.folder, deadline=self.deadline
            ),
        )

    # --- where it runs -----------------------------------------------------------------

    @property
    def image(self) -> GuestImage:
        """The guest's user land."""
        if (image := self._reached.image) is None:
            image = self._origin.image if self._origin else self._build_image()
            self._reached = replace(self._reached, image=image)
        return image

    def _build_image(self) -> GuestImage:
        wanted = self.wanted_suites
        work = partial(stage_work.make_image, self.request, self.paths, wanted)
        tools = partial(work, cache=self.cache, observer=self.observer, deadline=self.deadline)
        return self.stages.run("image", tools)

    @property
    def accelerator(self) -> Accelerator:
        """What runs the machines, and why."""
        if (chosen := self._reached.accelerator) is None:
            if self._origin:
                chosen, version = self._origin.accelerator, self._origin.qemu_version
            else:
                chosen, version = self._choose_accelerator()
            self._reached = replace(self._reached, accelerator=chosen, qemu_version=version)
        return chosen

    def _choose_accelerator(self) -> tuple[Accelerator, str]:
        kernel, built = self.kernel, self._reached.built_suites
        nested = any(suite.kvm for suite in (self.wanted_suites if built is None else built))
        words = self.request.accel, self.arch, kernel, self.cache, self.deadline
        work = partial(stage_work.choose_accelerator, *words, nested=nested)
        chosen, version = self.stages.run("accelerator", work)
        self.observer.notice(f"accelerator: {chosen.name} ({chosen.reason})")
        return chosen, version

    @property
    def qemu_version(self) -> str:
        """QEMU's version; "" until the accelerator was chosen."""
        return self._reached.qemu_version

    @property
    def factory(self) -> MachineFactory:
        """What makes machines with all of this."""
        kernel, chosen = self.kernel, self.accelerator
        image = preload.with_modules(self.image, kernel, self.cache, self.deadline)
        cmdline, config = (*image.cmdline, *self.request.append), kernel.config.read_text()
        kernel_log.check(cmdline, config, console=self.arch.console)
        return MachineFactory(
            arch=self.arch,
            cache=self.cache,
            kernel=kernel,
            image=image,
            accelerator=chosen,
            qemu_version=self.qemu_version,
            append=self.request.append,
        )

    @property
    def pool(self) -> Machines:
        """Where those machines come from."""
        if self._pool is None:
            self._pool = self._make_pool(
                factory=self.factory,
                cache=self.cache,
                folder=self.folder,
                observer=self.observer,
                deadline=self.deadline,
                stages=self.stages,
                snapshots=self.request.snapshots,
            )
            self._reached = replace(self._reached, machines=True)
        return self._pool

    # --- what is tested ----------------------------------------------------------------

    @functools.cached_property
    def counters(self) -> Counters | None:
        """What fetches the kernel's counters of lines; None where coverage was not asked for."""
        wanted = self.request.coverage and self.series is not None
        profiled = gcov_build.load(self.kernel.path) if wanted else None
        return Counters(profiled, self.folder / "coverage") if profiled else None

    @property
    def runner(self) -> Runner:
        """What runs the test programs."""
        if self._runner is None:
            pool, built, accelerator = self.pool, self.built_suites, self.accelerator.name
            config, factor = self.kernel.config.read_text(), self.request.timeout_factor
            last = stage_work.last_runs(built, self.paths.history)
            pace = Pace.of(accelerator, config, factor)
            self._runner = Runner(
                pool=pool,
                suites=pace.stretch(built),
                folder=self.folder,
                observer=self.observer,
                deadline=self.deadline,
                environment={**pace.environment, **self.request.test_environment},
                known=verdicts.known_here(self.series, built, accelerator),
                isolation=self.request.isolation,
                machines=self.request.machines,
                result_cache=self.result_cache,
                repeat=self.request.repeat,
                named=self.request.tests,
                took={
                    name: each.seconds for name, each in last.items() if each.seconds is not None
                },
                failed=frozenset(name for name, each in last.items() if each.bad),
                witness=self.counters,
            )
        return self._runner

    def test(self, built_suites: Sequence[BuiltSuite] | None = None) -> Tested:
        """Run the programs, and return what they and the kernel's boot gave.

        ``built_suites`` are taken instead of the run's own: the same with other time-outs. Raises
        :class:`UserError` when a program is asked for that does not exist.
        """
        if built_suites is not None:
            self._reached = replace(self._reached, built_suites=tuple(built_suites))
        runner = self.runner
        programs = runner.select(self.request.tests, self.request.shard)

        def work() -> tuple[None, bool, str]:
            tested = runner.run(programs)
            unchanged = ""
            if tested.recalled:
                unchanged = f", {tested.recalled} of {tested.runs} programs unchanged"
            detail = f"{counted(len(tested.leaves), 'case')}{unchanged}"
            return None, tested.recalled == tested.runs, detail

        with self.pool.in_use():
            if self.result_cache is None:
                runner.start()  # stages of their own in the display
            self.stages.run("test", work)
        tested = runner.finish()
        if not self.request.partial:
            for line in verdicts.stale(tested.leaves, runner.known):
                self.observer.notice(line)
        return tested

    def sibling(
        self, label: str, series: PatchSeries | None, result_cache: ResultCache | None = None
    ) -> Run:
        """Return a run of the same base with ``series``, in all else like this one.

        It has the configuration of this run; Kconfig leaves out what the other tree does not have.
        Its stages are announced as "label: stage", and its cases not at all. Image, accelerator and
        test programs are this run's, which makes them when either asks first. Raises
        :class:`UserError` where its folder cannot be made.
        """
        series = replace(series, known_failures=()) if series else None
        made = None if series else self._reached.baseline
        config = None if made else self.config
        return Run(
            replace(self.request, patch=None, saved=None),
            self.paths,
            stage_work.folder(self.folder / label),
            PrefixedObserver(self.observer, label),
            reached=Reached(base=self.base, series=series, config=config, kernel=made),
            result_cache=result_cache,
            make_pool=self._make_pool,
            origin=self,
        )

    # --- the end -----------------------------------------------------------------------

    @property
    def findings(self) -> Findings:
        """What the tests have shown: as it was recorded, else as the programs gave it so far."""
        if self._findings is None and self._runner is not None:
            tested = self._runner.tested
            return Findings(tested.leaves, tested.splats)
        return self._findings or Findings()

    def record(self, findings: Findings) -> None:
        """Record what the tests showed, in place of what was recorded before."""
        self._findings = findings
