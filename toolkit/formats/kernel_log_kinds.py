"""The kinds of report that a kernel writes to its log: how each begins, what it has, how it ends.

Read in Linux 6.12 (and 6.1 and 6.19 where they differ); each row names the file that prints it.
docs/verdicts.md says which lines are left out on purpose, and why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_TITLE_LINES = 16  # a task's name is at most 15 characters, and each may be a newline

RULE = re.compile(r"={10,}\s*$")
CUT_HERE = re.compile(r"(?:-+|8<-*)\[? cut here \]?-+")  # asm-generic/bug.h; 32-bit arm's own
_END_TRACE = re.compile(r"-+\[ end trace ")
_END_STACK = re.compile(r"\s*</TASK>")
_END_STACK_OR_TRACE = re.compile(r"\s*</TASK>|-+\[ end trace ")
_END_RULE_OR_TRACE = re.compile(r"={10,}\s*$|-+\[ end trace ")
_END_PANIC = re.compile(r"-+\[ end Kernel panic|Rebooting in [0-9]+ seconds")
_END_IRQ = re.compile(r"Disabling IRQ #[0-9]")
_AT_ONCE = re.compile("")

# console_prepend_dropped() of kernel/printk/printk.c, call_console_driver() before 6.2: the ring
# buffer was overwritten before the console had read it. The line has no time stamp.
DROPPED = re.compile(r"\*\* [1-9][0-9]{0,19} printk messages dropped \*\*")
LOST = "lost-messages"  # the kind of a splat that stands for what nobody has read

# mm/oom_kill.c: __oom_kill_process() and out_of_memory().
OOM_KILL = re.compile(r".*[Oo]ut of memory.*: Killed process|Out of memory and no killable")
_GLOBAL_OOM_KILL = re.compile(r"Out of memory(?: \([a-z_]+\))?: Killed process")
# mem_cgroup_print_oom_meminfo() and mem_cgroup_print_oom_group() of mm/memcontrol.c, and
# dump_oom_victim() of mm/oom_kill.c.
_MEMCG_OOM = re.compile(
    r"memory: usage [0-9]+kB, limit |Memory cgroup (?:stats for|out of memory)"
    r"|oom-kill:constraint=CONSTRAINT_MEMCG|Tasks in .* are going to be killed"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of report.

    A line that matches ``title`` begins one, unless a report is open that the line is part of:
    one whose kind is in ``after`` (where "" stands for a report that began with "cut here" and
    has no title yet), or any at all with ``anywhere``. A line that matches ``end`` is its last.
    """

    name: str
    title: re.Pattern[str]
    end: re.Pattern[str]
    after: frozenset[str] = frozenset()
    anywhere: bool = False
    repeats: bool = False  # it may be part of one report more than once
    renames: str = ""  # as the second or third line of a report of this kind, it names the report
    ruled: bool = False  # the kernel frames the report with a line of ====
    only_ruled: bool = False  # without that line it is something else
    confirm: re.Pattern[str] | None = None  # without such a line soon below, it is no report
    joined: re.Pattern[str] | None = None  # the title goes on up to the line that matches
    excused_by: re.Pattern[str] | None = None  # with such a line it is not a complaint …
    convicted_by: re.Pattern[str] | None = None  # … unless there is such a one, too


def _kind(
    name: str,
    title: str,
    end: re.Pattern[str],
    after: str = "",
    *,
    anywhere: bool = False,
    repeats: bool = False,
    renames: str = "",
    ruled: bool = False,
    only_ruled: bool = False,
    confirm: str = "",
    joined: str | None = None,
    excused_by: re.Pattern[str] | None = None,
    convicted_by: re.Pattern[str] | None = None,
) -> Kind:
    return Kind(
        name=name,
        title=re.compile(title),
        end=end,
        after=frozenset(after.split()),
        anywhere=anywhere,
        repeats=repeats,
        renames=renames,
        ruled=ruled or only_ruled,
        only_ruled=only_ruled,
        confirm=re.compile(confirm) if confirm else None,
        joined=None if joined is None else re.compile(joined),
        excused_by=excused_by,
        convicted_by=convicted_by,
    )


# What announces itself in a line of its own and then calls BUG() or WARN().
_ANNOUNCED = "refcount list-corruption rust-panic vfs"

# The first that matches counts.
KINDS = (
    # kernel/panic.c; early_fixup_exception() of arch/x86/mm/extable.c, which halts the machine.
    _kind("panic", r"Kernel panic - not syncing|PANIC: early exception ", _END_PANIC, "panic"),
    # mm/kasan/report.c, mm/kmsan/report.c, mm/kfence/report.c, kernel/kcsan/report.c
    _kind("kasan", r"BUG: KASAN: ", RULE, ruled=True),
    _kind("kmsan", r"BUG: KMSAN: ", RULE, ruled=True),
    _kind("kfence", r"BUG: KFENCE: ", RULE, ruled=True),
    _kind("kcsan", r"BUG: KCSAN: ", RULE, ruled=True),
    # lib/ubsan.c: between rules up to 6.1, from "cut here" to "end trace" in 6.12
    _kind("ubsan", r"UBSAN: ", _END_RULE_OR_TRACE, ruled=True),
    # mm/slub.c, __slab_bug(); object_err() of the later 6.12.y calls WARN_ON(1) at its end
    _kind(
        "slab-corruption",
        r"BUG \S.{0,80} \((?:Not tainted|Tainted: .{1,200})\): ",
        _END_STACK_OR_TRACE,
        ruled=True,
    ),
    _kind("kmemleak", r"kmemleak: [0-9]+ new suspected memory leaks", _AT_ONCE),
    # lib/refcount.c. Where WARN is a call and no trap, kernel/panic.c prints the message last.
    _kind("refcount", r"refcount_t: ", _END_TRACE, renames="warning"),
    _kind("list-corruption", r"list_(?:add|del) (?:corruption|double add)", _END_TRACE),
    # The panic handler of rust/kernel/lib.rs: where, and in the next line what (since Rust 1.73).
    _kind("rust-panic", r"[\w-]+: panicked at .*:$", _END_TRACE, joined=""),
    _kind("rust-panic", r"[\w-]+: panicked at ", _END_TRACE),
    # filp_flush() of fs/open.c and generic_shutdown_super() of fs/super.c
    _kind("vfs", r"VFS: (?:Close: file count is 0|Busy inodes after unmount)", _END_TRACE),
    _kind("soft-lockup", r"(?:NMI )?(?:watchdog: )?BUG: soft lockup", _END_STACK),
    _kind("hard-lockup", r"(?:NMI )?watchdog: .*hard LOCKUP", _END_STACK_OR_TRACE),
    _kind(
        "rcu-stall", r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stall", _END_STACK
    ),
    # kernel/hung_task.c, check_hung_task(); a task's name may have newlines (prctl(2)).
    # linux-next has check_killed_task() beside it.
    _kind(
        "hung-task",
        r"INFO: task .+ (?:blocked (?:in I/O wait )?|can't die )for more than ",
        _END_STACK,
    ),
    _kind(
        "hung-task",
        r"INFO: task(?: .{0,15})?$",
        _END_STACK,
        confirm=r".{0,16}:[0-9]+ blocked (?:in I/O wait )?for more than ",
        joined=r".{0,16}:[0-9]+ blocked ",
    ),
    # kernel/sched/core.c, lib/smp_processor_id.c
    _kind("lockdep", r"BUG: (?:sleeping function called|scheduling while atomic)", _END_STACK),
    _kind("lockdep", r"BUG: using \w+\(\) in preemptible", _END_STACK),
    # kernel/locking/lockdep.c. Other CPUs may write between its rule and its title.
    _kind(
        "lockdep",
        r"WARNING: (?:possible .*(?:locking|deadlock|inversion|lock order)|inconsistent lock state"
        r"|suspicious RCU usage|bad (?:unlock|contention) |held lock freed!|chain_key collision"
        r"|.{1,40}-safe -> .{1,40}-unsafe lock order|Nested lock was not taken"
        r"|.{1,32} still has locks held!|lock held when returning to user space!)",
        _END_STACK,
        ruled=True,
    ),
    _kind("lockdep", r"\[ ?BUG: .*\]$", _END_STACK, ruled=True),
    _kind("lockdep", r"\[ INFO: .* \]$", _END_STACK, ruled=True),  # before 4.11
    _kind("lockdep", r"INFO: trying to register non-static key", _END_STACK),
    # __warn() of kernel/panic.c; "at", and perhaps the condition, since 6.18
    _kind(
        "warning",
        r"WARNING: (?:CPU: [0-9]+ PID: "
        r"|(?:\[.{1,200}\] )?(?:\S+:[0-9]+ )?at \S+(?: \[\S+\])?, CPU#[0-9]+: )",
        _END_TRACE,
        f"{_ANNOUNCED} slab-corruption",
    ),
    # report_bug() of lib/bug.c; in capitals where the kernel does not know file and line
    _kind("bug", r"[kK]ernel BUG at ", _END_TRACE, _ANNOUNCED),
    # die() of arch/riscv/kernel/traps.c, below that line
    _kind("bug", r"Kernel BUG \[#", _END_TRACE, f"bug {_ANNOUNCED}"),
    _kind(
        "oops",
        r"(?:BUG: (?:unable to handle|kernel NULL pointer)|Unable to handle kernel "
        r"|Unhandled (?:fault|prefetch abort): "
        r"|(?:traps: )?PANIC: (?:double fault|invalid or fatal FRED event)"
        r"|(?:Oops: )?general protection fault|Internal error: |Oops(?:: | \[#)"
        r"|(?:Oops - .{1,60}|unknown exception) \[#"  # DO_ERROR_INFO() of arch/riscv/kernel/traps.c
        r"|(?!traps: ).*: [0-9a-f]{4,} \[#[0-9]+\])",
        _END_TRACE,
        f"oops bug {_ANNOUNCED}",
        repeats=True,
    ),
    # arch/x86/kernel/unwind_orc.c, unwind_frame.c and dumpstack_64.c: once, and often amid a trace
    _kind(
        "unwinder",
        r"WARNING: (?:WARNING: )?(?:can't (?:access|dereference) (?:iret )?registers at "
        r"|stack (?:recursion on stack type |going in the wrong direction)"
        r"|bad lookup (?:idx|value): |(?:Bad or missing|Corrupt) \.orc_unwind table"
        r"|unknown (?:\.orc_unwind entry type|(?:SP|BP) base reg) |missing (?:R1[03]|RDI|DX) value "
        r"|kernel stack (?:regs|frame pointer) at )",
        _AT_ONCE,
        anywhere=True,
    ),
    # A line between rules that a later lockdep has: print_kernel_ident() or a rule follows it.
    _kind(
        "lockdep",
        r"WARNING: ",
        _END_STACK,
        only_ruled=True,
        confirm=r"[0-9]+\.[0-9]+\S* .*(?:Not tainted|Tainted: )|-{10,}$",
    ),
    _kind("bug", r"BUG: ", _END_STACK_OR_TRACE, "oops bug", repeats=True),
    # kernel/irq/spurious.c, __report_bad_irq() and note_interrupt()
    _kind("irq", r"irq (?:[0-9]+: nobody cared|event [0-9]+: bogus return value)", _END_IRQ),
    # sysfs_warn_dup() of fs/sysfs/dir.c; kobject_init() and kobject_add() of lib/kobject.c
    _kind("sysfs", r"sysfs: cannot create duplicate filename ", _END_STACK),
    _kind("kobject", r"(?:kobject: )?kobject .{0,80}\(\S+\): tried to ", _END_STACK),
    # netdev_wait_allrefs_any() of net/core/dev.c: every ten seconds until the reference is dropped
    _kind("netdev-refcount", r"unregister_netdevice: waiting for .{1,64} to become", _AT_ONCE),
    # ex_handler_msr() of arch/x86/mm/extable.c
    _kind("msr", r"unchecked MSR access error: ", _END_STACK),
    # mm/oom_kill.c, dump_header(), which is rate-limited, and __oom_kill_process()
    _kind(
        "oom",
        r".{0,64} invoked oom-killer: ",
        OOM_KILL,
        excused_by=_MEMCG_OOM,
        convicted_by=_GLOBAL_OOM_KILL,
    ),
    _kind("oom", _GLOBAL_OOM_KILL.pattern, _AT_ONCE, "oom"),
)
UNTITLED = _kind("", "", _END_TRACE)
WARNING = next(kind for kind in KINDS if kind.name == "warning")
_ANY = re.compile("|".join(f"(?:{kind.title.pattern})" for kind in KINDS))


def kind_of(text: str, *, ruled: bool) -> Kind | None:
    """Return the kind of report that ``text`` begins; ``ruled``: a line of ==== is near above."""
    if not _ANY.match(text):
        return None
    return next(
        (kind for kind in KINDS if kind.title.match(text) and (ruled or not kind.only_ruled)), None
    )
