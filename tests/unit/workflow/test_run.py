from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.unit.fake_kernels import Laboratory, patches
from toolkit.core import paths
from toolkit.core.arch import ARM64
from toolkit.core.errors import BootError, BuildError, InfrastructureError, KernelError, UserError
from toolkit.core.model.kernel import Fragment
from toolkit.core.model.machine import Accelerator, GuestImage
from toolkit.core.model.result import Verdict
from toolkit.core.model.testing import BuiltSuite, Leaf
from toolkit.core.observer import Silent
from toolkit.kernel import kconfig, profile
from toolkit.testing.suites import Suite
from toolkit.vm import image
from toolkit.workflow import run_result, stage_work
from toolkit.workflow.pipeline import verdict_of, within_tree
from toolkit.workflow.request import Request
from toolkit.workflow.run import Run

PROJECT = Path(__file__).parents[3]


def a_run(tmp_path: Path, request: Request) -> Run:
    return Run(request, paths.resolve(PROJECT), tmp_path, Silent())


def test_a_profile_has_the_last_word(tmp_path: Path) -> None:
    mine = Fragment("profile mine", {"CONFIG_KVM": "y", "CONFIG_KASAN": "y"})
    run = a_run(tmp_path, Request(patch=None, suites=("kvm",), options=(mine,)))
    merged = kconfig.merge(run.fragments)
    assert merged["CONFIG_KVM"] == ("y", "profile mine")
    assert merged["CONFIG_KVM_AMD"] == ("m", "kselftests/kvm/config.x86_64")
    assert merged["CONFIG_VIRTIO_NET"][1] == "image minimal"


def test_another_architecture_has_options_and_names_of_its_own(tmp_path: Path) -> None:
    run = a_run(tmp_path, Request(patch=None, suites=("kvm",), arch=ARM64))
    merged = kconfig.merge(run.fragments)
    assert merged["CONFIG_KVM"] == ("y", "kselftests/kvm/config.arm64")
    assert "CONFIG_PVH" not in merged
    assert "CONFIG_SERIAL_AMBA_PL011_CONSOLE" in merged
    assert run.builder.arch is ARM64
    with pytest.raises(UserError, match="takes the console away from ttyAMA0"):
        a_run(tmp_path, Request(patch=None, arch=ARM64, append=("console=ttyS0",)))
    debian = a_run(tmp_path, Request(patch=None, suites=("kvm",), arch=ARM64, image="debian"))
    with pytest.raises(UserError, match="debian cannot be made for arm64"):
        _ = debian.fragments


def test_a_program_that_no_suite_can_have_is_refused_before_anything_is_built(
    tmp_path: Path,
) -> None:
    run = a_run(tmp_path, Request(patch=None, suites=("kvm",), tests=("iosignalfd_arg_test",)))
    with pytest.raises(UserError, match="can be called 'iosignalfd_arg_test'") as caught:
        _ = run.fragments
    assert "iosignalfd_args_test" in (caught.value.hint or "")
    assert run.reached.kernel is None


def test_coverage_comes_on_top_of_a_profile(tmp_path: Path) -> None:
    faults = profile.load("faults")
    request = Request(patch=None, suites=("kvm",), options=(faults,), coverage=True)
    run = a_run(tmp_path, request)
    merged = kconfig.merge(run.fragments)
    assert merged["CONFIG_FAILSLAB"] == ("y", "profile faults")
    assert merged["CONFIG_GCOV_KERNEL"] == ("y", "profile coverage")
    assert merged["CONFIG_GCOV_PROFILE_ALL"][0] == "n"


def test_a_suite_may_want_a_larger_machine_than_its_image_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = GuestImage("minimal", "key", None, None, (), 1024, 2, "q35", (), "dropbear")
    monkeypatch.setattr(image, "build_image", lambda *_, **__: (made, True))
    run = a_run(tmp_path, Request(patch=None))
    for wanted, given in ((0, 1024), (512, 1024), (2048, 2048)):
        suites = (Suite("kvm", None, 45.0, (), memory_mib=wanted), Suite("b", None, 1, ()))
        sized, _, _ = stage_work.make_image(
            run.request,
            run.paths,
            suites,
            cache=run.cache,
            observer=run.observer,
            deadline=run.deadline,
        )
        assert sized.memory_mib == given


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (BuildError("x"), Verdict.BUILD_BREAK),
        (BootError("x"), Verdict.BOOT_FAILURE),
        (KernelError("x"), Verdict.FAIL),
        (UserError("x"), Verdict.USER_ERROR),
        (InfrastructureError("x"), Verdict.INFRASTRUCTURE),
    ],
)
def test_every_error_has_its_verdict(error: Exception, verdict: Verdict) -> None:
    assert verdict_of(error) is verdict  # type: ignore[arg-type]


def test_a_run_that_did_nothing_has_a_result_all_the_same(tmp_path: Path) -> None:
    request = Request(patch="v4", command=("toolkit", "test"))
    run = a_run(tmp_path, request)
    result = run_result.of(run, Verdict.INTERRUPTED, 130, "interrupted")
    assert (result.series, result.kernel, result.exit_code) == ("v4", "debian:6.12", 130)
    assert result.leaves == ()
    assert result.stages == ()


@pytest.mark.parametrize(
    ("line", "tidy"),
    [
        (
            "/x y/cache/work/kernel/a9ac/src/arch/x86/kvm/../../../virt/kvm/kvm_main.c:9:1: error",
            "virt/kvm/kvm_main.c:9:1: error",
        ),
        (
            "make[5]: *** [/c/work/kernel/a9.1/src/scripts/Makefile.build:234: a/b/../x.o] Error 1",
            "make[5]: *** [scripts/Makefile.build:234: a/x.o] Error 1",
        ),
        ("   12 | a / b ../ c", "   12 | a / b ../ c"),
        ("../../x.c:1: error", "../../x.c:1: error"),
    ],
)
def test_a_compiler_s_line_names_the_tree_and_not_the_host(line: str, tidy: str) -> None:
    assert within_tree(line).removeprefix("/x ") == tidy


@pytest.mark.parametrize(("options", "nested"), [({"CONFIG_KVM": "m"}, True), ({}, False)])
def test_kvm_in_the_guest_is_asked_for_by_the_suites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], nested: bool
) -> None:
    asked = []

    def choose(*_: object, nested: bool) -> tuple[tuple[Accelerator, str], bool, str]:
        asked.append(nested)
        return (Accelerator("kvm", "host", "it does"), "8.2"), False, "kvm"

    monkeypatch.setattr(stage_work, "choose_accelerator", choose)
    run = Laboratory(tmp_path, monkeypatch).run(patches("comment"))
    suite = Suite("it", None, 45, (Fragment("it", options),))
    monkeypatch.setattr(Run, "wanted_suites", (suite,))
    run._reached = dataclasses.replace(run.reached, accelerator=None, built_suites=None)
    assert run.accelerator.name == "kvm"
    built = BuiltSuite("it", tmp_path, (), kvm=nested)
    monkeypatch.setattr(Run, "wanted_suites", ())  # a saved build has no others
    run._reached = dataclasses.replace(run.reached, accelerator=None, built_suites=(built,))
    assert run.accelerator.name == "kvm"
    assert asked == [nested, nested]


# --- another kernel's run ------------------------------------------------------------------


def test_a_run_folder_may_be_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Laboratory(tmp_path, monkeypatch).run(None)
    first = run.sibling("base", None)
    (first.folder / "build.log").write_text("of before")
    assert run.sibling("base", None).folder == first.folder


def test_a_file_where_another_run_s_folder_belongs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Laboratory(tmp_path, monkeypatch).run(None)
    (run.folder / "base").write_text("mine")
    with pytest.raises(UserError, match="base is a file"):
        run.sibling("base", None)


def test_another_kernel_s_run_has_what_the_first_one_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory = Laboratory(tmp_path, monkeypatch)
    run = laboratory.run(patches("comment"))
    other = run.sibling("base", None)
    assert other.reached.base is run.base
    assert (other.reached.image, other.reached.accelerator) == (None, None)
    assert other.image is run.image
    assert other.accelerator is run.accelerator
    assert other.cache is run.cache
    assert other.kernel.key != run.kernel.key
    assert run.reached.series is not None
    assert other.series is None


def test_a_run_says_which_stages_it_has_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Laboratory(tmp_path, monkeypatch).run(patches("comment"))
    before = run.reached
    assert (before.tree, before.kernel, before.machines) == (None, None, False)
    run.test()
    assert run.reached.kernel is run.kernel
    assert run.reached.machines
    assert run.reached.testable
    assert before.kernel is None, "what was read does not change"


def test_what_was_tested_before_the_end_is_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupter(Silent):
        def test_finished(self, leaf: Leaf) -> None:
            raise KeyboardInterrupt

    laboratory = Laboratory(tmp_path, monkeypatch)
    run = laboratory.run(patches("comment"), observer=Interrupter())
    with pytest.raises(KeyboardInterrupt):
        run.test()
    result = run_result.of(run, Verdict.INTERRUPTED, 130)
    assert {leaf.id.split("/")[1] for leaf in result.leaves} < {"a_test", "b_test"}
    assert result.leaves
