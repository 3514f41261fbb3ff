import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.core.errors import UserError
from toolkit.formats import yamlfile

TEXT = st.text().filter(lambda text: "\0" not in text)
SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=10
)


@settings(deadline=None)
@given(st.dictionaries(TEXT.filter(bool), VALUES, min_size=1))
def test_reads_back_what_pyyaml_writes(data: dict[str, object]) -> None:
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    text = yaml.dump(data, Dumper=Dumper)
    assert yamlfile.parse(text.encode(), "f").data == data


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="a: -[]{}&*!?|>'\"#\n\t%@,1", max_size=80))
def test_any_input_gives_data_or_a_user_error(content: bytes | str) -> None:
    data = content.encode() if isinstance(content, str) else content
    try:
        assert isinstance(yamlfile.parse(data, "f").data, dict)
    except UserError as error:
        assert error.what.startswith("f")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6.10", "6.10"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("2009-05-27", "2009-05-27"),
        ("010", "010"),
        ("0x10", "0x10"),
        ("1e3", "1e3"),
        ("12:30", "12:30"),
        ("=", "="),
        ("true", True),
        ("False", False),
        ("-7", -7),
        ("~", None),
        ("", None),
        ("'7'", "7"),
        ("!!str 7", "7"),
    ],
)
def test_scalars(text: str, value: object) -> None:
    assert yamlfile.parse(f"k: {text}\n".encode(), "f").data == {"k": value}


def test_a_key_is_always_text() -> None:
    assert yamlfile.parse(b"6.10: a\n6: b\n<<: c\n", "f").data == {"6.10": "a", "6": "b", "<<": "c"}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "f is empty"),
        (b"# only a comment\n", "f is empty"),
        (b"- a\n", "f: the top level"),
        (b"a: 1\na: 2\n", "f:2:1: key 'a' is given twice"),
        (b"x: {a: 1, a: 2}\n", "f:1:11: key 'a' is given twice"),
        (b"x:\n- {a: 1, a: 2}\n", "f:2:10: key 'a' is given twice"),
        (b"a: [\n", "f:2:1: while parsing"),
        (b"a: &x 1\nb: *x\n", "f:2:4: aliases are not allowed"),
        (b"a: !!python/object:os.system {}\n", "f:1:4: tag"),
        (b"a: !!int seven\n", "f:1:4: tag"),
        (b"a: !!binary x\n", "f:1:4: tag"),
        (b"? [a]\n: b\n", "f:1:3: a key must be plain text"),
        (b"a: \xff\n", "f is not UTF-8 text (byte 3)"),
        (b"a: b\x00\n", "f: unacceptable character"),
        (b"[" * 5000, "f is nested too deeply"),
        (b"- " * 5000, "f is nested too deeply"),
        (b"a: " + b"[" * 100 + b"]" * 100, "f is nested too deeply"),
        (b"".join(b" " * deep + b"a:\n" for deep in range(500)), "f is nested too deeply"),
        (b"a: [b, *x]\n", "f:1:8: aliases are not allowed"),
        (b"a: &x [1, *x]\n", "f:1:11: aliases are not allowed"),
        (b"a" * (yamlfile.MAX_BYTES + 1), "f is larger than 1 MiB"),
    ],
)
def test_refused(content: bytes, what: str) -> None:
    with pytest.raises(UserError) as caught:
        yamlfile.parse(content, "f")
    assert caught.value.what.startswith(what)


def test_what_a_person_nests_is_read() -> None:
    data = yamlfile.parse(b"a: " + b"[" * 99 + b"]" * 99, "f").data
    assert repr(data) == "{'a': " + "[" * 99 + "]" * 99 + "}"


def test_line_of_a_key_an_item_and_something_missing() -> None:
    file = yamlfile.parse(b"a: 1\nb:\n  - x\n  - c: 1\n    d: 2\n", "f")
    assert file.line(("a",)) == 1
    assert file.line(("b", 0)) == 3
    assert file.line(("b", 1, "d")) == 5
    assert file.line(("b", 1, "missing")) == 4
    assert file.line(("b", 9)) == 2
    assert file.line(()) == 1


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        yamlfile.read(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="directory"):
        yamlfile.read(tmp_path)


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="there is nothing else here")
def test_all_of_this_holds_without_libyaml() -> None:
    program = (
        "import sys, pytest, yaml; yaml.__with_libyaml__ = False; "
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, __file__],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_a_file_in_utf_16_or_32_is_refused_with_what_to_do(encoding: str) -> None:
    with pytest.raises(UserError) as raised:
        yamlfile.parse("title: a\n".encode(encoding), "f.yaml")
    assert raised.value.what == "f.yaml is not UTF-8 text (byte 0)"
    assert raised.value.hint == "save it as UTF-8"


@pytest.mark.parametrize(
    "content", [b"title:\n\tx: 1\n", b"title: a\n\tb\n", b"a:\n  \tb: 1\n  c:"]
)
def test_a_tab_that_indents_is_refused_with_what_to_do(content: bytes) -> None:
    with pytest.raises(UserError) as raised:
        yamlfile.parse(content, "f.yaml")
    assert raised.value.hint == "indent with spaces: YAML takes no tabs there"


@pytest.mark.parametrize("content", [b'a: "b\\0c"\n', b'"b\\0c": a\n', b'a: [b, "\\x00"]\n'])
def test_a_nul_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"^f\.yaml:1:\d: a NUL character is not allowed"):
        yamlfile.parse(content, "f.yaml")


def test_a_character_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match=r"^f\.yaml: "):
        yamlfile.parse(b'a: "\\U00110000"\n', "f.yaml")
