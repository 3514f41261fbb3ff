"""Mutants of a C file, built by a real compiler beside what pretends to be a kernel's build."""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.unit.fake_tree import make_base, soon
from tests.unit.kernel.incremental.test_variants import CONFIG, SOURCE, Built, symbols
from toolkit.core.errors import BuildError
from toolkit.core.model.kernel import KernelBuild, KernelConfig
from toolkit.core.model.mutation import Fate, Mutant
from toolkit.core.model.series import PatchedFile, PatchedTree, PatchSeries
from toolkit.kernel.kbuild import Builder
from toolkit.kernel.make import Make
from toolkit.kernel.toolchain import GCC
from toolkit.mutate import mutants
from toolkit.mutate.workshop import Workshop

FILE = "virt/eventfd.c"
KO = "lib/modules/6.12.117/kernel/kvm/kvm.ko"
# What is below A for 2 and below B for 3 is the same: a mutant of the one is none.
CODE = SOURCE.replace("return helper(n) < A;", "if (n < 0) _printk(); return helper(n) < A + 0;")
CODE = CODE.replace("int limit", "void _printk(void);\nint limit")


class Everything:
    def patch_of(self, file: str, number: int) -> int:
        return 1


class Pretended:
    """A builder of nothing but whole kernels that are their C file."""

    def __init__(self, root: Path) -> None:
        self.built = Built(root)
        (self.built.source / FILE).write_text(CODE)
        self.whole: list[str] = []
        self.discarded: list[str] = []
        self.cache = self
        self.toolchain = GCC
        self.modules = root / "modules.tar"

    @contextlib.contextmanager
    def finished(self, *_: Any) -> Iterator[tuple[None, Make]]:
        yield None, Make(self.built.source, self.built.output, "x86_64", 2, soon())

    def build(self, tree: PatchedTree, *_: Any) -> tuple[KernelBuild, bool]:
        content = tree.files[FILE].content or b""
        if b"!(" in content:
            raise BuildError("no")
        self.whole.append(tree.key)
        image = self.built.output / f"image-{tree.key}"
        image.write_bytes(content.replace(b" + 0", b""))
        return replace(kernel(self.built, self.modules), key=tree.key, image=image), False

    def discard(self, kind: str, key: str) -> None:
        self.discarded.append(key)


def kernel(built: Built, modules: Path) -> KernelBuild:
    image = built.output / "image"
    image.write_bytes(CODE.replace(" + 0", "").encode())
    return KernelBuild(
        built.output, "own", "6.12.117", image, "d", modules, built.output, built.output
    )


@pytest.fixture
def builder(tmp_path: Path) -> Pretended:
    return Pretended(tmp_path)


@pytest.fixture
def workshop(builder: Pretended, tmp_path: Path) -> Workshop:
    modules = builder.modules
    with tarfile.open(modules, "w") as archive:
        for name, data in ((KO, b"old"), ("lib/modules/6.12.117/modules.dep", b"dep")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    tree = PatchedTree(
        make_base(tmp_path / "tree"),
        PatchSeries("topic/v1", "x", "6.12", ()),
        {FILE: PatchedFile(CODE.encode())},
        "tree",
    )
    return Workshop(
        builder=cast("Builder", builder),
        tree=tree,
        config=KernelConfig(CONFIG, "config"),
        kernel=kernel(builder.built, modules),
        folder=tmp_path / "mutants",
        deadline=soon(),
    )


def mutant(operator: str, original: str = "") -> Mutant:
    found = mutants.of_file(FILE, CODE.encode(), Everything())
    return next(each for each in found if each.operator == operator and original in each.original)


def test_a_mutant_becomes_the_series_modules_with_one_replaced(workshop: Workshop) -> None:
    with workshop.open() as bench:
        built = workshop.quick(bench, mutant("boundary", "<"), lambda _: mutant("boundary").id)
    assert built is not None
    assert built.kernel is not None
    assert built.kernel.modules is not None
    with tarfile.open(built.kernel.modules) as archive:
        names = archive.getnames()
        module = archive.extractfile(KO)
        assert module is not None
        (workshop.folder / "x.ko").write_bytes(module.read())
    assert names == [KO, "lib/modules/6.12.117/modules.dep"]
    assert " T limit" in symbols(workshop.folder / "x.ko")
    workshop.forget(built.kernel)
    assert not built.kernel.modules.exists()
    assert workshop.kernel.modules is not None
    assert workshop.kernel.modules.exists()


def test_what_compiles_to_the_same_is_none(workshop: Workshop) -> None:
    zero = mutant("arithmetic", "+")  # A - 0 for A + 0
    with workshop.open() as bench:
        built = workshop.quick(bench, zero, lambda _: zero.id)
    assert built is not None
    assert built.verdict is not None
    assert built.verdict.fate is Fate.EQUIVALENT


def test_what_another_mutant_compiles_to_is_not_tried_again(workshop: Workshop) -> None:
    claims: dict[str, str] = {}
    dropped, never = mutant("call-dropped", "_printk"), mutant("condition-dropped", "n < 0")
    with workshop.open() as bench:
        first = workshop.quick(bench, dropped, lambda code: claims.setdefault(code, dropped.id))
        second = workshop.quick(bench, never, lambda code: claims.setdefault(code, never.id))
    assert first is not None
    assert first.kernel is not None
    assert second is not None
    assert second.verdict is not None
    assert (second.verdict.fate, second.verdict.by) == (Fate.DUPLICATE, dropped.id)


def test_what_does_not_compile_is_no_mutant(workshop: Workshop) -> None:
    broken = replace(mutant("boundary"), replacement="<<<")
    with workshop.open() as bench:
        built = workshop.quick(bench, broken, lambda _: broken.id)
    assert built is not None
    assert built.verdict is not None
    assert built.verdict.fate is Fate.UNBUILT
    assert "expected expression" in built.verdict.why


def test_what_is_in_the_kernel_itself_takes_a_build_which_does_not_stay(
    workshop: Workshop, builder: Pretended
) -> None:
    (builder.built.output / "modules.order").write_text("lib/one.o\n")
    boundary, negated = mutant("boundary"), mutant("condition-negated")
    zero = mutant("constant", "0")
    with workshop.open() as bench:
        assert workshop.quick(bench, boundary, lambda _: boundary.id) is None
    built = workshop.whole(boundary, lambda _: boundary.id)
    assert built.kernel is not None
    workshop.forget(built.kernel)
    assert builder.discarded == [built.kernel.key] == builder.whole
    twin = workshop.whole(zero, lambda _: boundary.id)
    assert twin.verdict is not None
    assert twin.verdict.fate is Fate.DUPLICATE
    assert len(builder.discarded) == 2
    refused = workshop.whole(negated, lambda _: negated.id)
    assert refused.verdict is not None
    assert refused.verdict.fate is Fate.UNBUILT


def test_whole_kernels_are_built_one_at_a_time(
    workshop: Workshop, builder: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once would take two work folders, and one of them is not that of the series."""
    build, alone = Pretended.build, threading.Lock()

    def built(self: Pretended, *words: Any) -> tuple[KernelBuild, bool]:
        assert alone.acquire(blocking=False), "another one is being built"
        try:
            time.sleep(0.05)
            return build(self, *words)
        finally:
            alone.release()

    monkeypatch.setattr(Pretended, "build", built)
    chosen = [mutant("boundary"), mutant("constant", "0"), mutant("early-return")]
    with ThreadPoolExecutor(3) as pool:
        kernels = list(pool.map(lambda each: workshop.whole(each, lambda _: each.id), chosen))
    assert all(each.kernel for each in kernels)
    assert len(builder.whole) == 3


def test_what_a_build_of_its_own_takes_is_said(workshop: Workshop, builder: Pretended) -> None:
    built, header = builder.built, replace(mutant("boundary"), file="virt/x.h")
    record = built.record("kvm/../virt/eventfd.o")
    record.write_text(f"{record.read_text()}  {built.source}/virt/x.h\n")
    with workshop.open() as bench:
        assert bench.reach(header) == "the modules it reaches"
        (built.output / "modules.order").write_text("lib/one.o\n")
        assert bench.reach(header) == "the whole kernel, and a boot"


def test_a_whole_kernel_that_is_the_series_own_is_none(
    workshop: Workshop, builder: Pretended
) -> None:
    one = mutant("boundary")
    same = replace(one, replacement="<", original="<")
    built = workshop.whole(same, lambda _: same.id)
    assert built.verdict is not None
    assert built.verdict.fate is Fate.EQUIVALENT
    assert builder.discarded
