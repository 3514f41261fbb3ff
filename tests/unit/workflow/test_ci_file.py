from __future__ import annotations

import os
import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import check_jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from toolkit.cli import main
from toolkit.core import paths
from toolkit.core.errors import EXIT_INFRASTRUCTURE, UserError
from toolkit.workflow import ci_file
from toolkit.workflow.ci_file import Pipeline

PROJECT = Path(__file__).parents[3]
COMMAND = ("toolkit", "ci", "…")
PAGES = [("github", "Write the page"), ("gitlab", "kernel-site")]
SCHEMAS = {
    "github": ["--builtin-schema", "vendor.github-workflows"],
    "gitlab": ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}
PLAIN = Pipeline(("v4",), "debian:6.12", shards=3)
FULL = Pipeline(
    ("iosignalfd/v4", "iosignalfd-v4", "patches/io-bus-order/v1"),
    "git:/srv/linux@v6.12~3^2",
    suites=("kvm", "upstream:kvm"),
    profile="debug",
    image="debian",
    accel="kvm",
    shards=1,
    runner=("self-hosted", "kvm"),
    container="none",
    slow=True,
)

word = st.from_regex(r"[a-zA-Z0-9_][a-z0-9_./:@%+=~#,*^-]{0,12}", fullmatch=True)
pipelines = st.builds(
    Pipeline,
    st.lists(word, min_size=1, max_size=3).map(tuple),
    word,
    suites=st.lists(word, max_size=2).map(tuple),
    profile=word | st.just(""),
    image=word | st.just(""),
    accel=st.sampled_from(["auto", "kvm", "tcg"]),
    shards=st.integers(1, 64),
    runner=st.lists(word, max_size=2).map(tuple),
    container=word,
    slow=st.booleans(),
)


class Loader(yaml.SafeLoader):
    """Reads GitLab's ``!reference`` as the list that it is written as."""


Loader.add_constructor("!reference", lambda loader, node: [each.value for each in node.value])


def rendered(system: str, pipeline: Pipeline) -> Any:
    return yaml.load(ci_file.render(system, pipeline, COMMAND), Loader)


def scripts(value: Any) -> Iterator[str]:
    """Yield each piece of a file that a shell gets: GitHub's ``run``, GitLab's ``*script``."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "run":
                yield each
            elif str(key).endswith("script"):
                yield from (line for line in each if isinstance(line, str))
            else:
                yield from scripts(each)
    elif isinstance(value, list):
        for each in value:
            yield from scripts(each)


def step(system: str, name: str, pipeline: Pipeline = PLAIN) -> str:
    """Return what the shell gets in a step of GitHub's, or the last lines of a job of GitLab's."""
    read = rendered(system, pipeline)
    if system == "gitlab":
        job, _, part = name.partition("/")
        parts = [
            each if isinstance(each, str) else "\n".join(read[each[0]][each[1]])
            for each in read[job][part or "script"]
        ]
        return "\n".join(parts)
    steps = [each for job in read["jobs"].values() for each in job["steps"]]
    return next(str(each["run"]) for each in steps if each.get("name") == name)


def check_schema(system: str, pipeline: Pipeline, folder: Path) -> None:
    file = folder / "file.yml"
    file.write_text(ci_file.render(system, pipeline, COMMAND))
    done = CliRunner().invoke(check_jsonschema.main, [*SCHEMAS[system], str(file)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("system", ci_file.SYSTEMS)
@pytest.mark.parametrize("name", ["08", "-8", "0o17", "0x1f", "1e3", ".5", "8.", "on", "null"])
def test_a_name_that_yaml_takes_for_something_else_has_quotes(
    tmp_path: Path, system: str, name: str
) -> None:
    check_schema(system, replace(PLAIN, runner=(name,)), tmp_path)
    assert f"'{name}'" in (tmp_path / "file.yml").read_text()


@pytest.mark.parametrize("system", ci_file.SYSTEMS)
@pytest.mark.parametrize("pipeline", [PLAIN, FULL], ids=["plain", "full"])
def test_the_file_holds_against_the_schema(system: str, pipeline: Pipeline, tmp_path: Path) -> None:
    check_schema(system, pipeline, tmp_path)


@settings(
    max_examples=25,
    phases=set(Phase) - {Phase.shrink},
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(pipelines, st.sampled_from(ci_file.SYSTEMS))
def test_any_file_is_whole_and_its_commands_exist(
    tmp_path: Path, pipeline: Pipeline, system: str
) -> None:
    check_schema(system, pipeline, tmp_path)
    check_commands(system, pipeline, tmp_path)


def check_commands(system: str, pipeline: Pipeline, folder: Path) -> None:
    """See that the toolkit takes every command in the file, and a shell every script."""
    (folder / "build").mkdir(exist_ok=True)
    seen = set()
    before = Path.cwd()
    os.chdir(folder)  # --from wants a folder that exists
    try:
        for script in scripts(rendered(system, pipeline)):
            plain = re.sub(r"\$\{\{.*?\}\}|\$\{CI_NODE_INDEX:-1\}", "1", script)
            subprocess.run(["sh", "-n"], input=plain, text=True, check=True)
            for line in re.findall(r"\./bootstrap toolkit (.*?)(?: \|\|.*)?$", plain, re.MULTILINE):
                words = [each for each in shlex.split(line, comments=True) if each != "$@"]
                group: Any = main.cli
                while words and words[0] in getattr(group, "commands", ()):
                    seen.add(words[0])
                    group = group.commands[words.pop(0)]
                group.make_context("x", words)
    finally:
        os.chdir(before)
    assert seen == {"boot", "build", "cache", "doctor", "prune", "site", "test"}


@pytest.mark.parametrize("system", ci_file.SYSTEMS)
def test_what_was_asked_for_is_in_the_commands(system: str) -> None:
    text = ci_file.render(system, FULL, COMMAND)
    assert text.count("--patch iosignalfd/v4 --kernel 'git:/srv/linux@v6.12~3^2'") == 1
    assert "--suite kvm --suite upstream:kvm --profile debug --image debian" in text
    assert text.count("--accel kvm --slow --shard") == 3
    assert text.count("toolkit boot --from build --accel kvm") == (3 if system == "github" else 1)
    assert "[self-hosted, kvm]" in text
    assert "debian:13" not in text
    assert text.startswith("# Written by: toolkit ci ")


def test_series_of_one_name_have_jobs_of_their_own() -> None:
    jobs = rendered("github", FULL)["jobs"]
    assert [name for name in jobs if name.startswith("test-")] == [
        "test-iosignalfd-v4-1",
        "test-iosignalfd-v4-2",
        "test-patches-io-bus-order-v1",
    ]


def test_all_shards_are_run() -> None:
    assert rendered("github", PLAIN)["jobs"]["test-v4"]["strategy"]["matrix"] == {
        "shard": [1, 2, 3]
    }
    assert rendered("gitlab", PLAIN)[".kernel-test"]["parallel"] == 3
    assert '--shard "${CI_NODE_INDEX:-1}/3"' in step("gitlab", "test v4")


# --- what the scripts do -------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder whose ``bootstrap`` writes down its words and ends with the codes in ``codes``."""
    script = tmp_path / "bootstrap"
    script.write_text(
        '#!/bin/sh\necho "$*" >>calls\ncode=$(sed -n "$(wc -l <calls)p" codes 2>/dev/null)\n'
        'exit "${code:-0}"\n'
    )
    script.chmod(0o755)
    (tmp_path / "calls").touch()
    return tmp_path


def run(script: str, checkout: Path, *codes: int) -> tuple[int, list[str], str]:
    """Return a script's exit code, the calls of the toolkit, and what it printed."""
    (checkout / "codes").write_text("".join(f"{code}\n" for code in codes))
    plain = re.sub(r"\$\{\{.*?\}\}", "1", script)
    given = {
        "XDG_CACHE_HOME": str(checkout / ".ci/cache"),
        "XDG_STATE_HOME": str(checkout / ".ci/state"),
        "KERNEL_CACHE": str(checkout / ".ci/cache.tar"),
    }
    done = subprocess.run(
        ["sh", "-e"],
        input=plain,
        cwd=checkout,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (checkout / "calls").read_text().splitlines(), done.stdout


@pytest.mark.parametrize("name", ["Build", "Test"])
@pytest.mark.parametrize(
    ("codes", "code", "calls"),
    [
        ([0], 0, 1),
        ([1], 1, 1),
        ([2], 2, 1),
        ([130], 130, 1),
        ([3, 0], 0, 2),
        ([3, 1], 1, 2),
        ([3, 3, 3, 0], 3, 3),
    ],
)
def test_the_hosts_exit_code_alone_is_tried_again_on_github(
    checkout: Path, name: str, codes: list[int], code: int, calls: int
) -> None:
    ended, called, printed = run(step("github", name), checkout, *codes)
    assert (ended, len(called)) == (code, calls)
    assert printed.count("::warning::") == codes[:calls].count(3)


def test_the_hosts_exit_code_alone_is_tried_again_on_gitlab() -> None:
    """Without ``when``, ``exit_codes`` are the only reason: Gitlab::Ci::Build::AutoRetry."""
    retry = rendered("gitlab", PLAIN)[".kernel-tests"]["retry"]
    assert retry == {"max": 2, "exit_codes": [EXIT_INFRASTRUCTURE]}


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_a_build_of_gitlabs_keeps_cache_and_history_however_it_ends(
    checkout: Path, code: int
) -> None:
    for name in ("cache/kernel-toolkit/build/KEY/bzImage", "state/kernel-toolkit/history.sqlite"):
        (checkout / ".ci" / name).parent.mkdir(parents=True)
        (checkout / ".ci" / name).touch()
    (checkout / ".ci/cache/kernel-toolkit/work/kernel").mkdir(parents=True)
    for folder in ("build", "results/v4-build"):
        (checkout / folder).mkdir(parents=True)
    ended, called, _ = run(step("gitlab", "build v4"), checkout, code)
    assert ended == code
    assert called[0].startswith("toolkit build --patch v4 --kernel debian:6.12 --save build")
    assert (checkout / "build.tar").exists() == (code == 0)
    assert (checkout / "results/v4-build/history.sqlite").exists()
    with tarfile.open(checkout / ".ci/cache.tar") as kept:
        files = [member.name for member in kept if member.isfile()]
    assert files == ["kernel-toolkit/build/KEY/bzImage"]


def test_the_cache_is_unpacked_before_the_toolkit_begins_one(checkout: Path) -> None:
    kept = checkout / ".ci/kernel-toolkit/build/KEY"
    kept.mkdir(parents=True)
    with tarfile.open(checkout / ".ci/cache.tar", "w") as file:
        file.add(kept.parents[1], "kernel-toolkit")
    (checkout / "bootstrap").write_text("#!/bin/sh\nmkdir -p .ci/cache/kernel-toolkit/boot\n")
    assert run(step("gitlab", ".kernel-build/before_script"), checkout)[0] == 0
    found = sorted(path.name for path in (checkout / ".ci/cache/kernel-toolkit").iterdir())
    assert found == ["boot", "build"]


def test_a_build_of_gitlabs_that_made_nothing_ends_as_it_did(checkout: Path) -> None:
    assert run(step("gitlab", "build v4"), checkout, 3)[0] == 3
    assert not (checkout / ".ci/cache.tar").exists()


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_test_of_gitlabs_ends_as_the_tests_did(checkout: Path, code: int) -> None:
    ended, called, _ = run(step("gitlab", "test v4"), checkout, code)
    assert ended == code
    assert called == ["toolkit test --from build --accel auto --shard 1/3 --run-dir results/v4-1"]


@pytest.mark.parametrize(
    ("system", "name"), [("github", "Write the page"), ("gitlab", "kernel-site")]
)
def test_the_page_is_made_of_the_histories_that_came(
    checkout: Path, system: str, name: str
) -> None:
    folder = checkout / {"github": "histories", "gitlab": "results"}[system]
    for shard in ("a", "b c", "without"):
        (folder / shard).mkdir(parents=True)
    for shard in ("a", "b c"):
        (folder / shard / "history.sqlite").touch()
    ended, called, _ = run(step(system, name), checkout)
    where = folder.name
    assert ended == 0
    assert called == [
        f"toolkit site site --history {where}/a/history.sqlite --history {where}/b c/history.sqlite"
    ]


@pytest.mark.parametrize(
    ("system", "name"), [("github", "Write the page"), ("gitlab", "kernel-site")]
)
def test_without_a_history_there_is_no_page_and_no_failure(
    checkout: Path, system: str, name: str
) -> None:
    assert run(step(system, name), checkout)[:2] == (0, [])


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"series": ("v99",)}, "v99"),
        ({"series": ("${{ secrets.X }}",)}, "cannot stand in"),
        ({"series": ("a\nb",)}, "cannot stand in"),
        ({"series": ("--help",)}, "cannot stand in"),
        ({"kernel": "debian"}, "names no kernel source"),
        ({"kernel": "git:/x@a;b"}, "cannot stand in"),
        ({"profile": "no-such"}, "no-such"),
        ({"runner": ("a: b",)}, "cannot stand in"),
        ({"container": "x'"}, "cannot stand in"),
        ({"suites": ("$(x)",)}, "cannot stand in"),
        ({"suites": ("kvm", "no-such")}, "there is no suite 'no-such'"),
        ({"image": "no-such"}, "there is no image 'no-such'"),
    ],
)
def test_what_no_runner_could_do_is_refused(change: dict[str, Any], words: str) -> None:
    asked = {"series": ("v4",), "kernel": "debian:6.12"} | change
    with pytest.raises(UserError, match=words):
        ci_file.check(Pipeline(**asked), paths.resolve(PROJECT))


def test_a_series_that_no_runner_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001-a.patch").write_text("From x\n")
    with pytest.raises(UserError, match="outside of"):
        ci_file.check(Pipeline((str(tmp_path),), "debian:6.12"), paths.resolve(PROJECT))


def test_what_is_carried_is_taken() -> None:
    ci_file.check(PLAIN, paths.resolve(PROJECT))
    asked = replace(PLAIN, suites=FULL.suites, image=FULL.image)
    ci_file.check(asked, paths.resolve(PROJECT))
