"""The command line. The only module that exits, and that turns errors into exit codes."""

from __future__ import annotations

import functools
import itertools
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from toolkit import __version__
from toolkit.cli import (
    bench,
    bisect,
    ci,
    coverage,
    crash,
    history,
    mail,
    maintenance,
    matrix,
    mutate,
    open_run,
    options,
    series,
    site,
)
from toolkit.core.errors import (
    EXIT_INFRASTRUCTURE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USER,
    KernelError,
    ToolkitError,
    of_os_error,
)
from toolkit.core.text import printable

# Everything else is imported where it is used: `toolkit --help` must not wait for paramiko.


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
@options.REGRESSION
@options.COVERAGE
@click.pass_obj
def build_and_test(root: Path | None, /, patch: str | None, **given: Any) -> None:
    """Apply a series, build it, boot it and run its selftests.

    Without --patch the unpatched base is tested; name a --suite then.
    """
    from toolkit.workflow import pipeline

    with open_run.open_run(root, patch, given) as (run, finish):
        finish(pipeline.build_and_test(run))


@cli.command()
@options.PATCH
@options.RUN
@options.MACHINE
@options.TESTS
@options.BASELINE
@options.REPEAT
@options.CONFIDENCE
@options.COVERAGE
@options.SAVED
@click.pass_obj
def test(root: Path | None, /, patch: str | None, **given: Any) -> None:
    """Run selftests against a kernel that `build` has built.

    With --from that is a folder from this or another machine, and nothing is built; it has to be
    built with --baseline, or with --coverage, for what is asked here. Without --from what is
    missing is built.
    """
    from toolkit.workflow import pipeline

    with open_run.open_run(root, patch, given) as (run, finish):
        finish(pipeline.build_and_test(run))


@cli.command()
@options.PATCH
@options.RUN
@options.MACHINE
@options.TESTS
@click.option("--all", "everything", is_flag=True, help="Run unchanged programs again, too.")
@click.pass_obj
def watch(root: Path | None, /, patch: str | None, everything: bool, **given: Any) -> None:
    """Test a series again after each edit, until ^C.

    Watches the patches, the selftests, the images and a kernel given as tree:PATH. A program whose
    kernel, modules and own files are the same as before keeps its result.
    """
    from toolkit.core import paths
    from toolkit.testing.result_cache import ResultCache
    from toolkit.vm.standby import Standby
    from toolkit.workflow import pipeline
    from toolkit.workflow import watch as watch_

    result_cache = ResultCache()
    command = open_run.once(open_run.repeatable(sys.argv))
    run_dir: Path | None = given.pop("run_dir", None)
    runs = itertools.count(1)

    def once(standby: Standby) -> None:
        place = run_dir / str(next(runs)) if run_dir else None
        try:
            results = ResultCache() if everything else result_cache
            values = {**given, "run_dir": place}
            opened = open_run.open_run(root, patch, values, command, results, standby=standby)
            with opened as (run, finish):
                finish(pipeline.build_and_test(run))
        except click.exceptions.Exit:
            pass  # the summary was shown; the next edit may do better
        except ToolkitError as error:
            _show(error)
        click.echo("waiting for an edit; ^C ends", err=True)

    suites = options.with_programs(given)["suites"]
    configs = (given["config"], *given["profiles"])
    where = watch_.places(paths.resolve(root), patch, given["kernel"], configs, suites)
    with Standby() as standby:
        watch_.watch(functools.partial(once, standby), where)


@cli.command()
@options.KERNEL
@click.option("--cold", is_flag=True, help="Ignore what the cache has.")
@options.SHARED_CACHE
@click.pass_obj
def fetch(root: Path | None, /, **given: Any) -> None:
    """Fetch, verify and unpack a kernel source, and print its folder."""
    with open_run.open_run(root, None, given) as (run, _):
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
@click.option(
    "--baseline", is_flag=True, help="Build the unpatched base, too, for `test --baseline`."
)
@click.option(
    "--coverage", is_flag=True, help="Count the lines of the series, for `test --coverage`."
)
@click.pass_obj
def build(root: Path | None, /, patch: str | None, save: Path | None, **given: Any) -> None:
    """Build a patched kernel and its selftests, and print their folders."""
    from toolkit.workflow import pipeline

    with open_run.open_run(root, patch, given) as (run, _):
        pipeline.build(run, save)
        built, suites = run.kernel, run.built_suites
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
    with open_run.open_run(root, patch, given) as (run, _), run.pool.boot() as guest:
        uname = guest.session.check("uname -a", deadline=run.deadline).text
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
    from toolkit.vm import interactive

    with open_run.open_run(root, patch, given) as (run, _), run.pool.boot() as guest:
        status = interactive.interact(guest.session, shlex.join(command), run.deadline)
    click.get_current_context().exit(status)


@cli.command()
@click.argument("shell_name", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell_name: str) -> None:
    """Print the completion script for a shell: eval "$(toolkit completion bash)"."""
    from click.shell_completion import get_completion_class

    completion_class = get_completion_class(shell_name)
    assert completion_class is not None
    click.echo(completion_class(cli, {}, "toolkit", "_TOOLKIT_COMPLETE").source())


cli.add_command(series.series)
cli.add_command(mail.b4_check)
cli.add_command(history.reproduce)
cli.add_command(history.history)
cli.add_command(history.compare)
cli.add_command(coverage.coverage)
cli.add_command(site.site)
cli.add_command(ci.ci)
cli.add_command(maintenance.doctor)
cli.add_command(maintenance.cache)
cli.add_command(maintenance.runs)
cli.add_command(bench.bench)
cli.add_command(bisect.bisect)
cli.add_command(mutate.mutate)
cli.add_command(matrix.matrix)
cli.add_command(matrix.worker)


# --- the edge ------------------------------------------------------------------------------


def main() -> None:
    """Run the command line and exit with the code that its errors map to."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    _open_standard_streams()
    try:
        code = _run()
    except OSError:
        code = EXIT_INFRASTRUCTURE  # the reader of our output has gone, as `head` does
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except MemoryError:  # while an error was shown
        os.write(sys.stderr.fileno(), b"toolkit: the host gives the toolkit no more memory\n")
        code = EXIT_INFRASTRUCTURE
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Python would try again while it ends and exit with 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = code or EXIT_INFRASTRUCTURE
    sys.exit(code)


def _run() -> int:
    """Run the command line, show its error if there is one, and return the exit code."""
    try:
        with crash.described():
            # Not standalone, click returns the code that a command exits with.
            return int(cli.main(prog_name="toolkit", standalone_mode=False) or EXIT_OK)
    except click.ClickException as error:
        error.show()
        return EXIT_USER
    except (KeyboardInterrupt, click.Abort):
        _stop_children()
        click.echo("toolkit: interrupted", err=True)
        return EXIT_INTERRUPTED
    except ToolkitError as error:
        _show(error)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:
        shown = of_os_error(error)
        _show(shown)
        return shown.exit_code


def _open_standard_streams() -> None:
    """Open those of the three standard streams that the caller has closed, on /dev/null.

    Otherwise the next file that is opened would get the number, and what is printed with it.
    """
    for number, mode in enumerate("rww"):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
            stream = open(number, mode, encoding="utf-8")  # noqa: SIM115, PTH123 - for good
            setattr(sys, ("stdin", "stdout", "stderr")[number], stream)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _stop_children() -> None:
    from toolkit.host import process

    process.stop_all()


def _show(error: ToolkitError) -> None:
    """Print an error: what failed, the evidence, and what to do."""
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
