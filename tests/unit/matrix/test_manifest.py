from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.errors import UserError
from toolkit.formats import manifest as strict
from toolkit.formats import yamlfile
from toolkit.matrix import manifest
from toolkit.matrix.manifest import MatrixManifest

WHOLE = """\
title: Nightly
axes:
  series: [iosignalfd/v4, none]
  kernel: [debian:6.12, "git:/srv/linux@v6.13"]
  profile: [none, debug+preempt-rt]
  suite: [kvm]
include:
  - series: io-bus-order/v1
    suite: kvm-io-bus
exclude:
  - kernel: git:*
    profile: [debug*, preempt*]
settings:
  - slow: true
  - match: {series: none}
    repeat: 3
    accel: tcg
    deadline: 600
    known-failures:
      - test: kvm/a_test/*
        reason: nobody mended it yet
  - match: {series: iosignalfd/*}
    baseline: true
shard-seconds: 60
"""


def read(tmp_path: Path, text: str) -> MatrixManifest:
    file = tmp_path / "m.yaml"
    file.write_text(text)
    return manifest.read(file)[0]


def test_everything_that_may_be_said(tmp_path: Path) -> None:
    asked = read(tmp_path, WHOLE)
    assert asked.title == "Nightly"
    assert asked.axes.kernel == ("debian:6.12", "git:/srv/linux@v6.13")
    assert asked.exclude[0].globs == {"kernel": ("git:*",), "profile": ("debug*", "preempt*")}
    assert [each.slow for each in asked.settings] == [True, None, None]
    assert asked.settings[1].known_failures[0].reason == "nobody mended it yet"
    assert asked.shard_seconds == 60


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("axes: {kernels: [a]}", 1, "unknown key 'kernels' in axes", "did you mean 'kernel'?"),
        ("axes:\n  suite: []", 2, "axes.suite is empty", ""),
        ("axes:\n  suite: kvm", 2, "axes.suite is no list", ""),
        ("axes:\n  suite: [kvm, kvm]", 2, "'kvm' is there twice", ""),
        ("axes: {}\nexclude: [{}]", 2, "name at least one of series, kernel", ""),
        ("axes: {}\nsettings:\n  - slwo: true", 3, "unknown key 'slwo'", "did you mean 'slow'?"),
        ("axes: {}\nsettings:\n  - repeat: 0", 3, "greater than or equal to 1", ""),
        ("axes: {}\nsettings:\n  - accel: xen", 3, "'auto', 'kvm' or 'tcg'", ""),
        ("axes: {}\nshard-seconds: .nan", 2, "a valid number", ""),
        ("title: x", 1, "key 'axes' is missing", ""),
        ("axes: {}\nincludes: []", 2, "unknown key 'includes'", "did you mean 'include'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, what: str, hint: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    assert caught.value.what.startswith(f"{tmp_path}/m.yaml:{line}: ")
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_the_schema_in_its_file_is_that_of_the_model() -> None:
    assert manifest.SCHEMA_FILE.read_text() == manifest.schema_text(), (
        "write it anew: python -m toolkit.matrix.manifest"
    )


SCHEMA = jsonschema.Draft202012Validator(json.loads(manifest.SCHEMA_FILE.read_text()))
words = st.text("abc*:/", min_size=1, max_size=4)
values = st.lists(words, max_size=3)
AXIS = st.sampled_from(["series", "kernel", "suite", "sute"])
documents = st.fixed_dictionaries(
    {"axes": st.dictionaries(AXIS, values, max_size=2)},
    optional={
        "exclude": st.lists(st.dictionaries(AXIS, words | values, max_size=2), max_size=2),
        "include": st.lists(st.dictionaries(AXIS, words, max_size=2), max_size=2),
        "settings": st.lists(
            st.dictionaries(
                st.sampled_from(["slow", "repeat", "accel"]), st.booleans() | st.integers(-1, 3)
            ),
            max_size=2,
        ),
        "shard-seconds": st.integers(-1, 3),
    },
)


@given(documents)
def test_an_editor_and_the_toolkit_agree_on_what_is_right(document: dict[str, Any]) -> None:
    """But for what no schema can say: that each value is there once, and that an axis is named."""
    file = yamlfile.parse(yaml.safe_dump(document).encode(), "m.yaml")
    try:
        strict.check(file, MatrixManifest)
    except UserError as error:
        if "is there twice" not in error.what and "name at least one" not in error.what:
            with pytest.raises(jsonschema.ValidationError):
                SCHEMA.validate(file.data)
    else:
        SCHEMA.validate(file.data)
