"""`toolkit mutate`: whether the tests of a series would notice a fault."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli import open_run, options
from toolkit.core.errors import EXIT_KERNEL, EXIT_OK, ToolkitError
from toolkit.core.text import counted, printable

# Everything else is imported where it is used: `toolkit --help` must not wait for pydantic.
if TYPE_CHECKING:
    from toolkit.core.model.mutation import Mutant, Mutation
    from toolkit.mutate.campaign import Campaign, Plan

_SECONDS = 7 * 86400.0  # a whole campaign may take this long
_SHOWN = 50  # survivors on the terminal

EXAMPLES = """\b
Examples:
  toolkit mutate --patch v4 --list
  toolkit mutate --patch v4 --sample 60
  toolkit mutate --patch v4 --since 5 --fail-under 95
  toolkit mutate --patch v4 --profile debug --survivors RUN --operator 'lock-*'
  toolkit mutate --patch v4 --faults tools/faults/iosignalfd --operator by-hand
"""


WHICH = options.several(
    click.option("--test", "-t", "tests", multiple=True, metavar="GLOB", help="Only these."),
    options.SLOW,
    click.option(
        "--machines",
        type=click.IntRange(1),
        help="How many work at a time; default: as CPUs and memory allow.",
    ),
    click.option(
        "--operator",
        "operators",
        multiple=True,
        metavar="GLOB",
        help="Only mutants of these operators; by-hand stands for --faults.",
    ),
    click.option("--mutant", "ids", multiple=True, metavar="ID", help="Only these mutants."),
    click.option(
        "--since",
        default="",
        metavar="PATCH|REV",
        help="Only lines that a patch wrote (its number or file) or that changed since REV.",
    ),
    click.option(
        "--faults",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="A folder of faults written as patches on top of the series; they join the mutants.",
    ),
    click.option(
        "--survivors",
        type=click.Path(exists=True, path_type=Path),
        metavar="RUN",
        help="Only what survived in an earlier run, such as one with another --profile; the score "
        "is that of both.",
    ),
    click.option(
        "--sample", type=int, metavar="N", help="Try N mutants, and give the score's 95 % interval."
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="What it is drawn by."),
    click.option(
        "--fail-under",
        type=options.Number(0, 100),
        metavar="PERCENT",
        help="Fail if fewer are killed; what series.yaml explains does not count.",
    ),
    click.option("--list", "listing", is_flag=True, help="Print the mutants, and try none."),
)


@click.command(epilog=EXAMPLES)
@options.PATCH
@options.RUN
@options.MACHINE
@WHICH
@click.pass_context
def mutate(context: click.Context, /, patch: str | None, *, listing: bool, **given: Any) -> None:
    """Put small faults into the lines of a series, and see whether its tests notice them.

    What compiles to the same code is no fault. Each verdict is stored at once: a run that is
    interrupted goes on, and one on an unchanged series has nothing to do.
    """
    from toolkit.mutate.campaign import Campaign

    plan = _plan(given)
    given["seconds"] = _SECONDS
    ended: BaseException | None = None
    with open_run.open_run(context.obj, patch, given) as (run, _):
        campaign = Campaign(run, plan)
        listed = campaign.candidates() if listing else []
        mutation, ended = (None, None) if listing else _tried(campaign)
        folder = run.folder
    for mutant in sorted(listed, key=lambda each: (each.file, each.line)):
        click.echo(printable(_row(mutant)))
    if listing:
        click.echo(counted(len(listed), "mutant"))
    code = _show(mutation, folder) if mutation else EXIT_OK
    if ended:
        raise ended
    context.exit(code)


def _plan(given: dict[str, Any]) -> Plan:
    from toolkit.mutate.campaign import Plan
    from toolkit.mutate.selection import Selection
    from toolkit.report import artifacts

    earlier = given.pop("survivors")
    return Plan(
        Selection(given.pop("operators"), given.pop("ids"), given.pop("since")),
        faults=given.pop("faults"),
        sample=given.pop("sample"),
        seed=given.pop("seed"),
        fail_under=given.pop("fail_under"),
        earlier=artifacts.read_mutation(earlier) if earlier else None,
    )


def _tried(campaign: Campaign) -> tuple[Mutation | None, BaseException | None]:
    """Try the mutants; return what came of them, and what ended it early.

    The reports have what has come by then. What ends it before any mutant is raised.
    """
    from toolkit.report import artifacts
    from toolkit.workflow import pipeline

    run = campaign.run
    ended: BaseException | None = None
    try:
        pipeline.build_and_test(run, campaign.test)
    except (KeyboardInterrupt, ToolkitError) as error:
        if not campaign.has_verdicts():
            raise
        ended = error
    mutation = campaign.result()
    try:
        artifacts.write_mutation(run.folder, mutation)
    except (ToolkitError, OSError):
        if ended is None:
            raise
    return mutation, ended


def _row(mutant: Mutant) -> str:
    place = f"{mutant.file}:{mutant.line}"
    if mutant.fault:
        return f"{mutant.id}  {place}  {mutant.operator}: {mutant.fault}"
    old, new = (" ".join(each.split()) for each in (mutant.original, mutant.replacement))
    return f"{mutant.id}  {place}  {mutant.operator}: {old[:60] or 'nothing'} -> {new[:60]}"


def _show(mutation: Mutation, folder: Path) -> int:
    from toolkit.report import mutation_view

    for line in mutation_view.summary(mutation, _SHOWN):
        click.echo(printable(line))
    click.echo(f"\nreport:  {folder / 'report.html'}\nmutants: {folder / mutation_view.FILE}")
    if short := mutation_view.below(mutation):
        click.echo(printable(short))
        return EXIT_KERNEL
    return EXIT_OK
