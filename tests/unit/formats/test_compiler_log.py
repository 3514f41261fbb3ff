from __future__ import annotations

from collections import Counter

from toolkit.formats.compiler_log import diagnostics


def test_a_diagnostic_that_only_moved_is_not_new() -> None:
    def read(*lines: str) -> Counter[str]:
        return Counter(diagnostics(lines))

    before = read(
        "virt/kvm/a.c:10:5: warning: symbol 'x' was not declared. Should it be static?",
        "  CC      virt/kvm/a.o",
        "virt/kvm/a.c:12:9: note: see here",
    )
    after = read(
        "virt/kvm/a.c:99:5: warning: symbol 'x' was not declared. Should it be static?",
        "./include/linux/b.h:3: error: bad",
    )
    assert sorted(before) == ["virt/kvm/a.c: symbol 'x' was not declared. Should it be static?"]
    assert sorted(after - before) == ["./include/linux/b.h: bad"]


def test_a_path_that_goes_up_is_given_the_short_way() -> None:
    line = "arch/x86/kvm/../../../virt/kvm/eventfd.c:7:1: warning: unused variable"
    assert list(diagnostics([line])) == ["virt/kvm/eventfd.c: unused variable"]
