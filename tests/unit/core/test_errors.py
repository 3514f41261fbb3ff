from __future__ import annotations

import errno

import pytest

from toolkit.core.errors import of_os_error


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENAMETOOLONG, 2), (errno.ENOSPC, 3), (errno.EIO, 3)]
)
def test_a_name_that_is_too_long_is_the_caller_s_and_all_else_the_host_s(
    number: int, code: int
) -> None:
    error = of_os_error(OSError(number, "Words", "/a/file"))
    assert (error.what, error.exit_code) == ("Words: /a/file", code)
    assert bool(error.hint) == (number != errno.EIO)
