"""The command ``bisect``: a whole search, or one step for ``git bisect run``."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from toolkit.cli import open_run, options
from toolkit.core.errors import (
    EXIT_KERNEL,
    EXIT_OK,
    InfrastructureError,
    ToolkitError,
    UserError,
    of_os_error,
)
from toolkit.core.text import counted, printable

# Everything else is imported where it is used: `toolkit --help` must be quick.
if TYPE_CHECKING:
    from toolkit.host.git import Repository
    from toolkit.workflow.bisect_judge import Judge
    from toolkit.workflow.bisect_state import Bisection
    from toolkit.workflow.run import Run

EXAMPLES = """\b
Examples:
  toolkit bisect --kernel git:$HOME/linux --good v6.11 --bad v6.12 --leaf kvm/args_test/size
  toolkit bisect --good HEAD~20 --bad HEAD --leaf boot/dmesg --profile debug
  git bisect run toolkit bisect --leaf kvm/args_test/size
"""

# git-bisect(1) takes 1 to 127 for a bad commit, but for 125, and stops at anything above.
EXIT_SKIP = 125
EXIT_ABORTED = 128
EXIT_MISUSED = 129  # what git itself exits with for wrong usage

_SEARCH, _STEP = "git:.", "tree:."
_GIT = "git:"
_ENDS = ("--good", "--bad")
_OURS = ("kernel", "suites", "programs", "good", "bad", "leaf", "run_dir")
_NOT_FOR_BOOT = ("slow", "repeat")


class _Command(click.Command):
    """Makes wrong usage stop git: as a step of its bisection it is no verdict on a commit."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        step = not any(word.partition("=")[0] in _ENDS for word in args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not step:
                raise
            hint = "see toolkit bisect --help"
            raise _stopping(UserError(error.format_message(), hint=hint)) from error


def _stopping(error: ToolkitError) -> ToolkitError:
    error.exit_code = EXIT_MISUSED if isinstance(error, UserError) else EXIT_ABORTED
    return error


def complete_revision(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the branches and tags whose name begins with ``incomplete``."""
    from toolkit.core.deadline import Deadline

    try:
        names = _repository(context.params.get("kernel") or _SEARCH).names(Deadline.after(5))
    except (ToolkitError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def complete_leaf(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the tests of recorded runs whose id begins with ``incomplete``."""
    from toolkit.core import paths
    from toolkit.report import history

    try:
        return history.leaves(paths.resolve(context.obj).history, incomplete)
    except (ToolkitError, OSError):
        return []


_RANGE = options.several(
    click.option(
        "--good",
        multiple=True,
        metavar="REV",
        shell_complete=complete_revision,
        help="A commit where the leaf is good; may be given several times.",
    ),
    click.option(
        "--bad",
        metavar="REV",
        shell_complete=complete_revision,
        help="A later one where it is bad.",
    ),
    click.option(
        "--leaf",
        required=True,
        metavar="ID",
        shell_complete=complete_leaf,
        help="suite/program/case as in result.json; suite/program for all its cases; boot; "
        "boot/dmesg.",
    ),
    click.option(
        "--repeat",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        help="A leaf is good only if it passes this often, each time in a fresh machine.",
    ),
)


@click.command(cls=_Command, epilog=EXAMPLES)
@_RANGE
@options.PATCH
@click.option(
    "--kernel",
    "-k",
    metavar="SOURCE",
    help=f"The repository, as git:PATH; default: {_SEARCH}, and {_STEP} for one step.",
)
@click.option("--suite", "-s", "suites", multiple=True, help="A suite; default: the leaf's.")
@options.PROGRAM
@options.BUILD
@options.MACHINE
@options.SLOW
@options.CONDITIONS
@click.pass_context
def bisect(context: click.Context, /, good: tuple[str, ...], bad: str | None, **given: Any) -> None:
    """Find the first commit of a git range where a leaf is bad.

    Without --good and --bad the one state of --kernel is judged, as a step for `git bisect run`.
    A commit that does not build or boot, that the series does not apply to, or where the leaf does
    not report or is skipped, cannot be judged and is passed over.

    \b
    Exit codes of a search:
      0    the first bad commit was found
      1    it is one of several, since those between them cannot be judged
      2    the ends are not good and bad, or the caller is at fault otherwise
      3    the host or its tools are at fault
      130  interrupted
    \b
    Exit codes of a step:
      0    good
      1    bad
      125  it cannot be judged
      128  the host or its tools are at fault; git stops
      129  the caller is at fault; git stops
      130  interrupted; git stops
    """
    given = options.with_programs(given)
    if bool(good) != bool(bad):
        raise click.UsageError("--good and --bad go together")
    context.exit(
        _search(context, good, bad, given) if good and bad else _step_for_git(context, given)
    )


def _step_for_git(context: click.Context, given: dict[str, Any]) -> int:
    try:
        return _step(context, given)
    except ToolkitError as error:
        raise _stopping(error) from error
    except OSError as error:
        raise _stopping(of_os_error(error)) from error
    except Exception as error:
        # git would take Python's own exit code, 1, for a verdict.
        traceback.print_exception(error)
        raise _stopping(InfrastructureError("the toolkit itself failed, see above")) from error


def _judge(context: click.Context, run: Run, given: dict[str, Any]) -> Judge:
    from toolkit.workflow.bisect_judge import Judge, question

    asked = question(given["leaf"], given["suites"], given["repeat"])
    root = ("--root", str(context.obj)) if context.obj else ()
    command = "boot" if asked.of_boot else "build-and-test"
    words = ("toolkit", *root, command, *_shared_words(context, boot=asked.of_boot))
    return Judge(asked, run, words)


def _shared_words(context: click.Context, *, boot: bool) -> Iterator[str]:
    """Yield the options of the bisection that each step has as well, as they were given."""
    for option in context.command.params:
        assert isinstance(option, click.Option)
        assert option.name is not None
        on_command_line = context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
        if not on_command_line or option.name in _OURS or (boot and option.name in _NOT_FOR_BOOT):
            continue
        word, value = max(option.opts, key=len), context.params[option.name]
        if option.is_flag:
            yield word
            continue
        for each in value if option.multiple else (value,):
            yield from (word, str(each))


# --- one step ------------------------------------------------------------------------------


def _step(context: click.Context, given: dict[str, Any]) -> int:
    from toolkit.core import paths
    from toolkit.workflow.bisect_search import words
    from toolkit.workflow.bisect_state import Judgement

    kernel = given["kernel"] = given["kernel"] or _STEP
    if given["run_dir"]:  # which all steps of git's bisection share
        given["run_dir"] = paths.new_run_dir(given["run_dir"], kernel)
    patch = given.pop("patch")
    with open_run.open_run(context.obj, patch, given) as (run, _):
        judge = _judge(context, run, given)
        judgement, reason = judge(kernel, run.folder, run.observer)
    click.echo(printable(f"{judge.question.leaf} {words(judgement)}: {reason}"))
    codes = {Judgement.GOOD: EXIT_OK, Judgement.BAD: EXIT_KERNEL, Judgement.SKIP: EXIT_SKIP}
    return codes[judgement]


# --- a search ------------------------------------------------------------------------------


def _search(context: click.Context, good: tuple[str, ...], bad: str, given: dict[str, Any]) -> int:
    from toolkit.report.terminal import open_display
    from toolkit.workflow.bisect_search import Bisector, Plan
    from toolkit.workflow.bisect_state import Outcome

    given["kernel"] = given["kernel"] or _SEARCH
    repository = _repository(given["kernel"])
    patch = given.pop("patch")
    with open_run.open_run(context.obj, patch, given) as (run, _):
        judge = _judge(context, run, given)
        plan = Plan(
            repository=repository,
            bad=bad,
            good=good,
            leaf=judge.question.leaf,
            repeat=judge.question.repeat,
            command=run.request.command,
        )

        def of_commit(name: str, folder: Path) -> Any:
            # A display of its own: a stage that a failing step leaves open ends with it.
            with open_display(sys.stderr) as observer:
                return judge(f"{_GIT}{repository.path}@{name}", folder, observer)

        result = Bisector(plan, of_commit, run.folder, run.observer).search()
    _show(result, run.folder)
    return EXIT_OK if result.outcome is Outcome.FOUND else EXIT_KERNEL


def _repository(kernel: str) -> Repository:
    from toolkit.host.git import Repository
    from toolkit.kernel import source
    from toolkit.kernel.source.git import Git

    provider = source.parse(kernel)
    if not isinstance(provider, Git):
        raise UserError(
            f"{kernel} has no history to search", hint="name a repository: --kernel git:PATH"
        )
    if kernel.endswith(f"@{provider.revision}"):
        raise UserError(
            f"{kernel} names one commit, but --good and --bad a range",
            hint=f"write --kernel {_GIT}{provider.path}",
        )
    return Repository(provider.path)


def _show(result: Bisection, folder: Path) -> None:
    from toolkit.report.wording import duration
    from toolkit.workflow.bisect_search import FILE, LOG

    others = result.candidates[1:]
    head = "the first bad commit is one of these, of which only the first can be judged:"
    click.echo(f"\n{head}" if others else "\nthe first bad commit:")
    for commit in result.candidates:
        click.echo(printable(f"  {commit.id} {commit.subject}"))
        click.echo(printable(f"    {commit.author}, {commit.date}"))
    click.echo(f"\n{'step':<5}{'commit':<14}{'':<6}{'took':>12}  why")
    for number, step in enumerate(result.steps, 1):
        row = f"{number:<5}{step.commit.id[:12]:<14}{step.judgement.value:<6}"
        click.echo(printable(f"{row}{duration(step.seconds):>12}  {step.reason}"))
    click.echo(f"\n{counted(len(result.steps), 'step')}, {duration(result.seconds)}")
    click.echo(f"{folder / FILE}\n{folder / LOG}  (for git bisect replay)")
