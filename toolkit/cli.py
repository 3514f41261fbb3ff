"""The command line. The only module that exits, and that turns errors into exit codes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit import __version__, options, text
from toolkit.errors import (
    EXIT_INFRASTRUCTURE,
    EXIT_INTERRUPTED,
    EXIT_USER,
    KernelError,
    ToolkitError,
    of_os_error,
)

# Everything else is imported where it is used: `toolkit --help` must not wait for paramiko.
if TYPE_CHECKING:
    from toolkit.run import Request, Run


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="toolkit")
@click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The checkout with patches/, kselftests/ and vm-images/; default: this one.",
)
@click.pass_context
def cli(context: click.Context, root: Path | None) -> None:
    """Build, boot and test Linux kernel patch series, KVM's above all.

    \b
    Exit codes:
      0    every expected result came
      1    the kernel under test is at fault
      2    the caller is at fault
      3    the host or its tools are at fault
      130  interrupted
    """
    context.obj = root


# --- runs ----------------------------------------------------------------------------------


@cli.command("build-and-test", epilog=options.EXAMPLES)
@options.PATCH
@options.RUN
@options.MACHINE
@options.TESTS
@click.pass_obj
def build_and_test(root: Path | None, /, patch: str | None, **given: Any) -> None:
    """Apply a series, build it, boot it and run its selftests.

    Without --patch the unpatched base is tested; name a --suite then.
    """
    from toolkit import pipeline

    with _run(root, patch, given) as (run, finish):
        finish(pipeline.build_and_test(run))


@cli.command()
@options.PATCH
@options.RUN
@options.MACHINE
@options.TESTS
@options.SAVED
@click.pass_obj
def test(root: Path | None, /, patch: str | None, **given: Any) -> None:
    """Run selftests against a kernel that `build` has built.

    With --from that is a folder from this or another machine, and nothing is built; without it
    what is missing is built.
    """
    from toolkit import pipeline

    with _run(root, patch, given) as (run, finish):
        finish(pipeline.build_and_test(run))


@cli.command()
@options.KERNEL
@click.option("--cold", is_flag=True, help="Ignore what the cache has.")
@click.pass_obj
def fetch(root: Path | None, /, **given: Any) -> None:
    """Fetch, verify and unpack a kernel source, and print where it lies."""
    with _run(root, None, given) as (run, _):
        path = run.base.path
    click.echo(path)


@cli.command()
@options.PATCH
@options.RUN
@options.MACHINE
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy all that testing needs into this new folder, for `test --from` on any host.",
)
@click.pass_obj
def build(root: Path | None, /, patch: str | None, save: Path | None, **given: Any) -> None:
    """Build a patched kernel and its selftests, and print where they lie."""
    from toolkit import bundle

    with _run(root, patch, given) as (run, _):
        built, suites = run.kernel, run.built_suites
        if save:
            bundle.save(run.bundle(), save)
    click.echo(save or built.path)
    for suite in () if save else suites:
        click.echo(suite.path)


@cli.command()
@options.PATCH
@options.RUN
@options.MACHINE
@options.SAVED
@click.pass_obj
def boot(root: Path | None, /, patch: str | None, **given: Any) -> None:
    """Boot a patched kernel, load its modules, and print its uname."""
    with _run(root, patch, given) as (run, _), run.testbed.boot() as (_, session):
        uname = session.check("uname -a", deadline=run.deadline).text
    click.echo(uname.strip())


@cli.command()
@options.PATCH
@options.RUN
@options.MACHINE
@options.SAVED
@click.argument("command", nargs=-1)
@click.pass_obj
def shell(root: Path | None, /, patch: str | None, command: tuple[str, ...], **given: Any) -> None:
    """Open a shell in a booted machine, or run COMMAND there.

    The machine goes away when the shell ends; its exit status becomes the toolkit's.
    """
    from toolkit import terminal

    with _run(root, patch, given) as (run, _), run.testbed.boot() as (_, session):
        status = terminal.interact(session, shlex.join(command), run.deadline)
    sys.exit(status)


@contextlib.contextmanager
def _run(
    root: Path | None, patch: str | None, given: dict[str, Any]
) -> Iterator[tuple[Run, Callable[[Any], None]]]:
    """Give a run with its folder and display, and a function that shows its result and exits."""
    from toolkit import display, paths
    from toolkit.run import Run

    places = paths.resolve(root)
    request = _request(patch, given)
    wanted = given.get("run_dir")
    if wanted is None:
        folder = paths.new_run_dir(places.runs, patch or request.kernel)
    else:
        folder = wanted.absolute()
        folder.mkdir(parents=True, exist_ok=True)
    with display.open_display(sys.stderr) as observer:
        observer.notice(f"run folder: {folder}")
        run = Run(request, places, folder, observer)
        outcome: list[Any] = []
        yield run, outcome.append
    if outcome:
        display.summary(outcome[0], folder)
        sys.exit(outcome[0].exit_code)


def _request(patch: str | None, given: dict[str, Any]) -> Request:
    from toolkit import profile
    from toolkit.run import Request
    from toolkit.schedule import Isolation

    fields = {field.name for field in dataclasses.fields(Request)} - {
        "patch",
        "command",
        "step_summary",
    }
    known = {name: value for name, value in given.items() if name in fields and value is not None}
    if "isolation" in known:
        known["isolation"] = Isolation(known["isolation"])
    if "profile" in known:
        known["profile"] = profile.load(known["profile"])
    # GitHub's runners name a file whose Markdown they show on the page of the job.
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    return Request(
        patch=patch,
        command=_repeatable(sys.argv),
        step_summary=Path(page) if page else None,
        **known,
    )


def _repeatable(argv: list[str]) -> tuple[str, ...]:
    """Return the command as it was given, without the folder that this run wrote into."""
    words, skip = ["toolkit"], False
    for word in argv[1:]:
        if skip:
            skip = False
        elif word == "--run-dir":
            skip = True
        elif not word.startswith("--run-dir="):
            words.append(word)
    return tuple(words)


# --- series --------------------------------------------------------------------------------


@cli.group()
def series() -> None:
    """Look at the carried series."""


@series.command("list")
@click.pass_obj
def series_list(root: Path | None) -> None:
    """List the series in patches/."""
    from toolkit import paths
    from toolkit import series as series_

    for line in series_.list_series(paths.resolve(root).patches):
        click.echo(line)


@series.command("show")
@click.argument("name", shell_complete=options.complete_series)
@click.pass_obj
def series_show(root: Path | None, /, name: str) -> None:
    """Show a series: its title, bases, patches, needs and known failures."""
    from toolkit import paths
    from toolkit import series as series_

    for line in series_.describe(name, paths.resolve(root).patches):
        click.echo(line)


@series.command("check")
@click.argument("name", shell_complete=options.complete_series)
@options.RUN
@click.pass_obj
def series_check(root: Path | None, /, name: str, **given: Any) -> None:
    """Check each patch: checkpatch --strict, its build, and W=1 and sparse for what is new."""
    from toolkit import check
    from toolkit.display import printable

    with _run(root, name, given) as (run, _):
        table = check.check(run)
    for line in table.lines():
        click.echo(printable(line))
    sys.exit(table.exit_code)


# --- house-keeping -------------------------------------------------------------------------


@cli.command()
@click.option("--probe", is_flag=True, help="Try KVM again, even if its answer is remembered.")
@click.pass_obj
def doctor(root: Path | None, probe: bool) -> None:
    """Say what this host has, what it lacks, and which accelerator would be used.

    Exit code 3 when something is missing.
    """
    from toolkit import doctor as doctor_
    from toolkit import paths
    from toolkit.cache import Cache, free_bytes
    from toolkit.deadline import Deadline

    places = paths.resolve(root)
    findings = list(doctor_.examine_host(places.cache, free_bytes(places.cache)))
    findings += doctor_.examine_accelerator(Cache(places.cache), Deadline.after(60), again=probe)
    for finding in findings:
        mark, colour = _MARKS[finding.good]
        click.secho(f"{mark:>4}  ", fg=colour, nl=False)
        click.echo(finding.text)
    if any(finding.good is False for finding in findings):
        sys.exit(EXIT_INFRASTRUCTURE)


_MARKS = {True: ("ok", "green"), False: ("NO", "red"), None: ("--", "yellow")}


@cli.group()
def cache() -> None:
    """Look at and prune the cache."""


@cache.command("list")
@click.pass_obj
def cache_list(root: Path | None) -> None:
    """List what the cache holds, least recently used first."""
    import datetime

    entries = _cache(root).entries()
    for entry in entries:
        used = datetime.datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        click.echo(
            f"{text.size(entry.size):>9}  {used}  {entry.kind + '/' + entry.key:<45}  {entry.label}"
        )
    click.echo(f"{text.size(sum(entry.size for entry in entries)):>9}  in {len(entries)} entries")


@cache.command("prune")
@click.option(
    "--keep-within", default="20G", show_default=True, metavar="SIZE", help="Such as 500M or 20G."
)
@click.pass_obj
def cache_prune(root: Path | None, keep_within: str) -> None:
    """Remove the least recently used entries until the rest fits into SIZE."""
    removed = _cache(root).prune(text.parse_size(keep_within))
    for entry in removed:
        click.echo(f"removed {entry.kind}/{entry.key} ({text.size(entry.size)})")
    click.echo(f"{text.size(sum(entry.size for entry in removed))} freed")


@cli.command()
@click.argument("shell_name", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell_name: str) -> None:
    """Print the completion script for a shell: eval "$(toolkit completion bash)"."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell_name)
    assert found is not None
    click.echo(found(cli, {}, "toolkit", "_TOOLKIT_COMPLETE").source())


def _cache(root: Path | None) -> Any:
    from toolkit import paths
    from toolkit.cache import Cache

    return Cache(paths.resolve(root).cache)


# --- the edge ------------------------------------------------------------------------------


def main() -> None:
    """Run the command line and exit with the code that its errors map to."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        cli.main(prog_name="toolkit", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USER)
    except (KeyboardInterrupt, click.Abort):
        _stop_children()
        click.echo("toolkit: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except ToolkitError as error:
        _show(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; nothing is left to say to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_INFRASTRUCTURE)
    except OSError as error:
        _show(of_os_error(error))
        sys.exit(EXIT_INFRASTRUCTURE)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _stop_children() -> None:
    from toolkit import process

    process.stop_all()


def _show(error: ToolkitError) -> None:
    """Print an error: what failed, the evidence, and what to do."""
    from toolkit.display import printable

    for line in error.detail:
        click.echo(f"  {printable(line)}", err=True)
    click.secho("toolkit: ", fg="red", bold=True, nl=False, err=True)
    click.echo(printable(error.what), err=True)
    if error.hint:
        click.echo(f"  {printable(error.hint)}", err=True)
    if isinstance(error, KernelError) and error.log:
        click.echo(f"  log: {error.log}", err=True)


if __name__ == "__main__":
    main()
