from __future__ import annotations

import pytest

from toolkit.core.errors import UserError
from toolkit.vm import kernel_log

PRINTK = "CONFIG_PRINTK=y\n"


def test_a_command_line_is_read_as_the_kernel_reads_it() -> None:
    words = ['a-b=1 "c d=e f"', 'g="h i" j=k"l m"n', "--", "quiet"]
    assert list(kernel_log.parameters(words)) == [
        ("a_b", "1"),
        ("c d", "e f"),
        ("g", "h i"),
        ("j", 'k"l m"n'),
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["quiet"], "`quiet` keeps messages of KERN_WARNING and below"),
        (["root=/dev/vda quiet"], "`quiet`"),
        (['"quiet"'], "`quiet`"),
        (["loglevel=3"], "`loglevel=3` keeps messages of KERN_ERR and below"),
        (['loglevel="6"'], "`loglevel=6` keeps KERN_INFO off"),
        (["loglevel=0x3"], "`loglevel=0x3` keeps messages of KERN_ERR"),
        (["loglevel=06"], "KERN_INFO"),
        (["loglevel=0"], "KERN_EMERG"),
        (["loglevel=08"], "KERN_EMERG"),
        (["debug", "quiet"], "`quiet`"),
        (["loglevel=8", "loglevel=2"], "`loglevel=2`"),
        (["sysctl.kernel.printk=1"], "`sysctl.kernel.printk=1`"),
        (["ignore_loglevel", "printk.ignore-loglevel=0", "quiet"], "`quiet`"),
        (["console=tty0"], "`console=tty0` takes the console away from ttyS0"),
        (["console="], "`console=` takes"),
        (["printk.devkmsg=off"], "`printk.devkmsg=off` keeps the toolkit's marks"),
    ],
)
def test_what_silences_the_console_is_refused_by_name(words: list[str], named: str) -> None:
    with pytest.raises(UserError) as caught:
        kernel_log.check(words, PRINTK, console="ttyS0")
    assert named in caught.value.what
    assert caught.value.hint


@pytest.mark.parametrize(
    "words",
    [
        ["console=ttyS0", "console=ttyS0,115200n8"],
        ["quiet", "loglevel=7"],
        [f"loglevel={'9' * 5000}"],
        ["quiet", "ignore_loglevel"],
        ["ignore-loglevel", "loglevel=1"],
        ["quiet", "debug"],
        ["loglevel=nonsense"],
        ["loglevel"],
        ["module.quiet=1", "notquiet", 'x="quiet loglevel=1"', "debug=1"],
        ["--", "quiet"],
        ["printk.devkmsg=on"],
    ],
)
def test_what_does_not_is_let_through(words: list[str]) -> None:
    kernel_log.check(words, PRINTK + "CONFIG_CONSOLE_LOGLEVEL_DEFAULT=7\n", console="ttyS0")
    kernel_log.check(words, console="ttyS0")


def test_a_configuration_that_silences_the_console_is_refused() -> None:
    with pytest.raises(UserError, match="without CONFIG_PRINTK"):
        kernel_log.check([], "# CONFIG_PRINTK is not set\n", console="ttyS0")
    quiet = PRINTK + "CONFIG_CONSOLE_LOGLEVEL_DEFAULT=4\n"
    with pytest.raises(UserError, match="CONFIG_CONSOLE_LOGLEVEL_DEFAULT=4"):
        kernel_log.check([], quiet, console="ttyS0")
    kernel_log.check(["loglevel=7"], quiet, console="ttyS0")
