"""The file that has a CI build and test series on its runners: for GitHub, and for GitLab.

What it runs are this toolkit's own commands, so a change of an option there is a change here: the
tests run each of these commands' parsers over what stands in the files.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from toolkit.core.arch import host_arch
from toolkit.core.errors import EXIT_INFRASTRUCTURE, UserError
from toolkit.core.paths import Paths
from toolkit.kernel import profile, source
from toolkit.report import templates
from toolkit.series import catalog
from toolkit.testing import suite_check
from toolkit.vm import image

SYSTEMS = ("github", "gitlab")
CONTAINER = "debian:13"
NO_CONTAINER = "none"
MAX_SHARDS = 64
ATTEMPTS = 3  # of a job whose host fails; GitLab allows no more
KEEP = "3G"  # of the cache, before it is stored
MINUTES = 120  # as long as a run may take: Request.seconds
# Of the cache, what another runner can use and would need longer to make than to restore: no kernel
# source (fetched within a minute, 1.5 GB), no work folder, no machine of this one.
CACHED = ("build", "config", "suite", "image", "deb", "work/ccache")
_TEMPLATES = Path(__file__).parent / "templates"
_RUNNER = {"github": ("ubuntu-24.04",), "gitlab": ()}
# A word that stands in YAML, in a shell's line and beside the CI's own ${{ expressions }}.
_WORD = re.compile(r"(?!-)[\w./:@%+=~#,*^-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a CI is to do. Empty ``suites`` are those that each series names."""

    series: tuple[str, ...]
    kernel: str
    suites: tuple[str, ...] = ()
    profile: str = ""
    image: str = ""
    accel: str = "auto"
    shards: int = 1
    runner: tuple[str, ...] = ()  # GitHub's labels or GitLab's tags
    container: str = CONTAINER  # in which the jobs run; NO_CONTAINER: on the runner itself
    slow: bool = False

    @property
    def building(self) -> str:
        """The options that say what is built, for a shell."""
        words = ["--kernel", self.kernel]
        for suite in self.suites:
            words += ["--suite", suite]
        if self.profile:
            words += ["--profile", self.profile]
        if self.image:
            words += ["--image", self.image]
        return shlex.join(words)

    @property
    def testing(self) -> str:
        """The options of testing besides the shard, for a shell."""
        return shlex.join(["--accel", self.accel, *(["--slow"] if self.slow else [])])


def check(pipeline: Pipeline, paths: Paths) -> None:
    """Raise :class:`UserError` for what no run of the pipeline could find or take."""
    words = (*pipeline.series, *pipeline.suites, *pipeline.runner, pipeline.kernel)
    for word in (*words, pipeline.profile, pipeline.image, pipeline.container):
        if word and not _WORD.fullmatch(word):
            raise UserError(
                f"{word!r} cannot stand in a CI's file",
                hint="use letters, digits and ./:@%+=~#,*^- in names there",
            )
    for name in pipeline.series:
        place = catalog.locate(name, paths.patches)
        if isinstance(place, Path) and not place.resolve().is_relative_to(paths.root):
            raise UserError(
                f"{name} lies outside of {paths.root}, so no runner would find it",
                hint="copy it into the checkout, or import it with toolkit series import",
            )
    source.parse(pipeline.kernel)
    if pipeline.profile:
        profile.load(pipeline.profile)
    if pipeline.image:
        image.locate(pipeline.image, paths.images)
    for name in pipeline.suites:
        suite_check.check(paths.suites, name, host_arch())


def render(system: str, pipeline: Pipeline, command: Sequence[str]) -> str:
    """Return the file for one of :data:`SYSTEMS`; ``command`` writes it again."""
    part = f"${{{{ matrix.shard }}}}/{pipeline.shards}"
    builds = [
        {
            "name": slug,
            "patch": shlex.quote(name),
            "build_title": _yaml(f"build {name}"),
            "test_title": _yaml(f"test {name} {part}"),
        }
        for name, slug in zip(pipeline.series, _slugs(pipeline.series), strict=True)
    ]
    labels = list(pipeline.runner or _RUNNER[system])
    one = system == "github" and len(labels) == 1  # GitLab has a list of tags in any case
    template = templates.load(f"ci-{system}.yml.j2", templates.printed, {}, _TEMPLATES)
    text = template.render(
        pipeline=pipeline,
        builds=builds,
        command=shlex.join(command),
        container="" if pipeline.container == NO_CONTAINER else _yaml(pipeline.container),
        runner=_yaml(labels[0] if one else labels) if labels else "",
        shards=range(1, pipeline.shards + 1),
        retried=EXIT_INFRASTRUCTURE,
        ATTEMPTS=ATTEMPTS,
        CACHED=CACHED,
        KEEP=KEEP,
        MINUTES=MINUTES,
    )
    return text.rstrip() + "\n"


class _Dumper(yaml.SafeDumper):
    """Quotes what is a number in YAML 1.2, too, as CI services read it; PyYAML knows 1.1 alone."""


# Section 10.3.2 of YAML 1.2.2
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"),
    list("-+0123456789"),
)
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def _yaml(value: str | list[str]) -> str:
    """Return a value on one line of YAML, with quotes where it would be taken for another."""
    dumped = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=math.inf)
    return dumped.removesuffix("...\n").strip()


def _slugs(series: Sequence[str]) -> list[str]:
    """Return a name for each series that can be part of a job's and of an artefact's."""
    plain = [re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "series" for name in series]
    return [
        name if plain.count(name) == 1 else f"{name}-{number}"
        for number, name in enumerate(plain, 1)
    ]
