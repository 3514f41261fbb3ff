from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.linear import assert_linear
from toolkit.core.model.machine import Splat
from toolkit.formats import kernel_log
from toolkit.formats.kernel_log import ConsoleScanner

DATA = Path(__file__).parents[2] / "data" / "console"
LOGS = sorted(DATA.glob("*.log"))
WARNING = b"""[    1.000000] ------------[ cut here ]------------
[    1.000100] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2
[    1.000200] ---[ end trace 0000000000000000 ]---
"""


def scan(data: bytes, step: int | None = None) -> tuple[ConsoleScanner, list[Splat]]:
    scanner = ConsoleScanner()
    step = step or max(len(data), 1)
    found = [s for at in range(0, len(data), step) for s in scanner.feed(data[at : at + step])]
    return scanner, found + scanner.close()


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_golden_log(log: Path) -> None:
    scanner, _ = scan(log.read_bytes())
    expected = json.loads(log.with_suffix(".json").read_text())
    assert list(scanner.splats) == [Splat(**each) for each in expected]


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("step", [1, 7, 100])
def test_pieces_do_not_matter(log: Path, step: int) -> None:
    data = log.read_bytes()
    assert scan(data, step)[0].splats == scan(data)[0].splats


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.stem)
def test_each_splat_is_returned_once(log: Path) -> None:
    scanner, found = scan(log.read_bytes(), 10)
    assert [(s.kind, s.line) for s in found] == [(s.kind, s.line) for s in scanner.splats]


def test_report_is_there_as_soon_as_it_ends() -> None:
    scanner = ConsoleScanner()
    assert scanner.feed(WARNING[:-1]) == []
    (splat,) = scanner.feed(WARNING[-1:])
    assert splat.kind == "warning"
    assert scanner.close() == []


def test_panic_is_there_at_once_and_complete_later() -> None:
    scanner = ConsoleScanner()
    (splat,) = scanner.feed(b"[    1.000000] Kernel panic - not syncing: bad\n")
    assert splat.fatal
    assert splat.title == "Kernel panic - not syncing: bad"
    assert scanner.feed(b"[    1.000100]  dump_stack+0x1/0x2\n") == []
    assert scanner.splats[0].text.endswith("dump_stack+0x1/0x2")
    assert scanner.close() == []
    assert scanner.splats[0].text.endswith("dump_stack+0x1/0x2")


def test_panic_on_warn_gives_both() -> None:
    text = (
        b"\n".join(WARNING.splitlines()[:2]) + b"\n[    1.000300] Kernel panic - not syncing: x\n"
    )
    scanner = ConsoleScanner()
    assert [(s.kind, s.fatal) for s in scanner.feed(text)] == [("warning", False), ("panic", True)]


def test_close_may_come_between() -> None:
    scanner = ConsoleScanner()
    assert scanner.feed(b"[    1.000000] BUG: Bad page state in process x\n") == []
    assert [s.kind for s in scanner.close()] == ["bug"]
    assert [s.kind for s in scanner.feed(WARNING)] == ["warning"]


def test_mark_ends_a_report_but_no_panic() -> None:
    scanner = ConsoleScanner()
    mark = f"[    1.000100] {kernel_log.MARK} 0123abcd\n".encode()
    (splat,) = scanner.feed(b"[    1.000000] BUG: Bad page state in process x\n" + mark)
    assert splat.text == "BUG: Bad page state in process x"
    scanner.feed(b"[    1.000000] Kernel panic - not syncing: x\n" + mark + b"[    1.000200]  f\n")
    assert len(scanner.splats[1].text.splitlines()) == 3


def test_silence_ends_a_report() -> None:
    scanner = ConsoleScanner()
    scanner.feed(b"[    1.000000] BUG: Bad page state in process x\n")
    (splat,) = scanner.feed(b"[   90.000000] kvm: something else\n")
    assert splat.text == "BUG: Bad page state in process x"


def test_endless_report_is_bounded() -> None:
    scanner = ConsoleScanner()
    text = b"[    1.000000] BUG: sleeping function called\n" + b"[    1.000000] more\n" * 10_000
    (splat,) = scanner.feed(text)
    assert len(splat.text.splitlines()) == kernel_log.MAX_LINES


def test_console_without_time_stamps() -> None:
    text = b"boot\nKernel panic - not syncing: bad\n"
    assert [s.kind for s in scan(text)[1]] == ["panic"]


def test_endless_line_is_bounded() -> None:
    scanner = ConsoleScanner()
    for _ in range(5):
        scanner.feed(b"x" * 40_000)
    assert scanner.feed(b"\n" + WARNING)[0].kind == "warning"


PIECES = [line + b"\n" for log in LOGS for line in log.read_bytes().split(b"\n")]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=20)), max_size=40))
def test_any_console_is_read(pieces: list[bytes]) -> None:
    scanner = ConsoleScanner()
    found = [splat for piece in pieces for splat in scanner.feed(piece)] + scanner.close()
    assert [s.line for s in found] == [s.line for s in scanner.splats]
    for splat in scanner.splats:
        assert splat.kind
        joined = " ".join(splat.text.split("\n"))
        assert " ".join(splat.title.split()) in " ".join(joined.split())
        assert len(splat.text.splitlines()) <= kernel_log.MAX_LINES
        assert splat.fatal == ("Kernel panic" in splat.title and splat.kind == "panic")


@given(st.binary(max_size=300), st.integers(1, 50))
def test_pieces_of_anything_do_not_matter(data: bytes, step: int) -> None:
    assert scan(data, step)[0].splats == scan(data)[0].splats


LONG = {
    "no newline": b"x",
    "empty lines": b"\n",
    "open escapes": b"\x1b[",
    "open stamps": b"[ 1",
    "rules": b"[    1.000000] ==================\n",
    "cut here": b"[    1.000000] ------------[ cut here ]------------\n",
    "reports": b"[    1.000000] BUG: Bad page state in process x\n",
    "almost an oops": b"[    1.000000] " + b": abcd" * 100 + b"\n",
    "almost a warning": b"[    1.000000] WARNING: [" + b"] at " * 100 + b"\n",
    "open out-of-memory reports": b"[    1.000000] x invoked oom-killer: y\n",
}


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG.keys())
def test_time_is_linear(piece: bytes) -> None:
    def work(size: int) -> None:
        scanner = ConsoleScanner()
        data = piece * (size // len(piece) + 1)
        for at in range(0, len(data), 4096):
            scanner.feed(data[at : at + 4096])
        scanner.close()

    assert_linear(work, 1 << 17)


def test_small_pieces_of_a_line_take_linear_time() -> None:
    def work(size: int) -> None:
        scanner = ConsoleScanner()
        for _ in range(size):
            scanner.feed(b"x")

    assert_linear(work, 20_000)


def test_flood_of_reports_is_bounded_and_hides_no_panic() -> None:
    scanner = ConsoleScanner()
    one = b"[    1.000000] BUG: KASAN: x\n[    1.000000] " + b"y" * 900 + b"\n"
    for _ in range(20):
        scanner.feed(one * 100)
    assert len(scanner.splats) == kernel_log.MAX_SPLATS
    (splat,) = scanner.feed(b"[    1.000000] Kernel panic - not syncing: bad\n")
    assert splat.fatal
    assert scanner.splats[-1].fatal
    assert sum(len(splat.text) for splat in scanner.splats) < kernel_log.MAX_TEXT + 2**20


def test_text_of_reports_is_bounded() -> None:
    scanner = ConsoleScanner()
    report = b"[    1.000000] BUG: KASAN: x\n" + (b"[    1.000000] " + b"y" * 900 + b"\n") * 248
    for _ in range(100):
        scanner.feed(report)
    scanner.close()
    assert len(scanner.splats) == 100
    assert sum(len(splat.text) for splat in scanner.splats) < kernel_log.MAX_TEXT + 2**20
    assert scanner.splats[-1].text == "BUG: KASAN: x"


def stamped(*lines: str) -> bytes:
    return "".join(f"[    1.{number:06}] {line}\n" for number, line in enumerate(lines)).encode()


CUT = "------------[ cut here ]------------"


def test_rust_panic_of_one_line_has_no_more_to_its_title() -> None:
    text = stamped("rust_kernel: panicked at 'bad', a.rs:1:2", CUT, "kernel BUG at rust/bug.c:7!")
    assert [(s.kind, s.title) for s in scan(text)[1]] == [
        ("rust-panic", "rust_kernel: panicked at 'bad', a.rs:1:2")
    ]
    text = stamped("rust_kernel: panicked at a.rs:1:2:", CUT, "kernel BUG at rust/bug.c:7!")
    assert [s.title for s in scan(text)[1]] == ["rust_kernel: panicked at a.rs:1:2:"]


def test_what_a_warning_says_of_itself_does_not_excuse_it() -> None:
    text = stamped("=" * 40, "usb 1-1: x", CUT, "WARNING: a message", "Modules linked in:")
    assert [s.kind for s in scan(text)[1]] == ["warning"]


def test_line_numbers_are_those_of_the_console() -> None:
    report = stamped("=" * 40, "usb 1-1: x", "WARNING: held lock freed!")
    first, *rest = report.splitlines(keepends=True)
    text = b"[    0.000001] x\n" + first + b"what a program prints\n" + b"".join(rest)
    assert [s.line for s in scan(text)[1]] == [2]
    text = stamped("WARNING: CPU: 0 PID: 1 at a.c:1", CUT) + b"a program\n"
    text += stamped("WARNING: CPU: 1 PID: 2 at b.c:1")
    assert [s.line for s in scan(text)[1]] == [1, 2]


def test_a_message_that_lost_its_newline_hides_none() -> None:
    bug = b"BUG: sleeping function called from invalid context at a.c:1"
    text = (
        stamped("a") + b"[    2.000000] allocation failure: 12 bytes[    2.000100] " + bug + b"\n"
    )
    assert [(s.kind, s.title, s.line) for s in scan(text)[1]] == [("lockdep", bug.decode(), 2)]
    assert not scan(text.replace(bug, b"took [    1.000000] s"))[1]


def test_an_unwinder_warning_below_another_report_s_rule_is_one() -> None:
    title = "WARNING: can't access registers at asm_exc_page_fault+0x26/0x30"
    text = stamped("a", "=" * 66, title, "BUG: KASAN: use-after-free in f+0x1/0x2")
    assert [(s.kind, s.title) for s in scan(text)[1]] == [
        ("unwinder", title),
        ("kasan", "BUG: KASAN: use-after-free in f+0x1/0x2"),
    ]


def test_a_console_that_indents_its_messages_is_understood() -> None:
    text = stamped(
        f" {'=' * 66}", " BUG: KCSAN: data-race in f+0x1/0x2", " ", " race at", "  f+0x1/0x2"
    )
    assert [(s.kind, s.title) for s in scan(text)[1]] == [
        ("kcsan", "BUG: KCSAN: data-race in f+0x1/0x2")
    ]


def test_a_task_that_cannot_die_hangs() -> None:
    title = "INFO: task syz-executor.4:21128 can't die for more than 143 seconds."
    text = stamped(title, "task:syz-executor.4 state:D", "Call Trace:", " schedule+0xd0/0x2a0")
    assert [(s.kind, s.title) for s in scan(text)[1]] == [("hung-task", title)]


def test_a_kernel_that_stops_stamping_its_lines_is_heard() -> None:
    bare = b"".join(line.split(b"] ", 1)[1] + b"\n" for line in WARNING.splitlines())
    mark = f"{kernel_log.MARK} 0123abcd\n".encode()
    text = stamped("a") + bare
    assert scan(text)[1] == []  # anybody may have printed that
    assert [(s.kind, s.line) for s in scan(text + mark)[1]] == [("warning", 2)]
    assert [(s.kind, s.line) for s in scan(text + mark + bare)[1]] == [
        ("warning", 2),
        ("warning", 6),
    ]
    # Once there are stamps again, what has none is nobody's again, and so is what came before.
    assert scan(text + stamped("b") + mark)[1] == []
    assert len(scan(text + mark + stamped("b") + bare)[1]) == 1


DROPPED = b"** 12 printk messages dropped **\n"


def test_messages_that_the_console_dropped_are_no_clean_log() -> None:
    text = stamped("a") + DROPPED + stamped("b") + b"a prompt: " + DROPPED
    assert [(s.kind, s.title, s.line) for s in scan(text)[1]] == [
        ("lost-messages", "** 12 printk messages dropped **", 2),
        ("lost-messages", "a prompt: ** 12 printk messages dropped **", 4),
    ]


def test_messages_dropped_right_before_another_one_are_missing_too() -> None:
    text = stamped("a") + DROPPED.rstrip() + b" [    1.000100] b\n"
    assert [(s.kind, s.title, s.line) for s in scan(text)[1]] == [
        ("lost-messages", "** 12 printk messages dropped **", 2)
    ]


def test_what_was_dropped_amid_a_report_neither_ends_nor_excuses_it() -> None:
    first, *rest = WARNING.splitlines(keepends=True)
    splats = scan(first + DROPPED + b"".join(rest))[0].splats
    assert [(s.kind, s.line) for s in splats] == [("lost-messages", 2), ("warning", 1)]
    assert len(splats[1].text.splitlines()) == 3
    oom = stamped("x invoked oom-killer: y", "Memory cgroup out of memory: Killed process 1 (x)")
    assert scan(oom)[1] == []
    assert [s.kind for s in scan(oom.replace(b"\n", b"\n" + DROPPED, 1))[1]] == ["lost-messages"]


def test_a_flood_of_dropped_messages_leaves_room_for_a_warning() -> None:
    splats = scan(stamped("a") + DROPPED * 5000 + WARNING)[0].splats
    assert len(splats) == kernel_log.MAX_LOST + 1
    assert splats[-1].kind == "warning"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        # arch/arm64/kernel/traps.c, die(); arch/arm64/mm/fault.c
        ("Internal error: Oops - Undefined instruction: 0000000002000000 [#1] SMP", "oops"),
        ("Internal error: Oops - BTI: 0000000034000002 [#1] PREEMPT SMP", "oops"),
        ("Unable to handle kernel paging request at virtual address ffff800012345678", "oops"),
        ("Internal error: synchronous external abort: 0000000096000010 [#1] SMP", "oops"),
        # arch/x86/kernel/traps.c has a prefix: exc_double_fault()
        ("traps: PANIC: double fault, error_code: 0x0", "oops"),
        # arch/riscv/kernel/traps.c, die() and what calls it
        ("Oops [#1]", "oops"),
        ("Oops - illegal instruction [#1]", "oops"),
        ("Oops - store (or AMO) access fault [#2]", "oops"),
        ("unknown exception [#1]", "oops"),
        ("Kernel BUG [#1]", "bug"),
        # lib/bug.c, report_bug()
        ("Kernel BUG at do_it+0x1c/0x20 [verbose debug info unavailable]", "bug"),
    ],
)
def test_what_other_architectures_print(line: str, kind: str) -> None:
    scanner, _ = scan(f"[    1.000000] {line}\n[    1.000001]  do_it+0x1c/0x20\n".encode())
    assert [(splat.kind, splat.title) for splat in scanner.splats] == [(kind, line)]
