"""Maintenance: ``toolkit doctor``, ``toolkit cache`` and ``toolkit runs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli import options
from toolkit.core import text
from toolkit.core.errors import EXIT_INFRASTRUCTURE

if TYPE_CHECKING:
    from toolkit.host.shared.keys import Keyring

# Everything else is imported where it is used: `toolkit --help` must be quick.


@click.command()
@options.ARCH
@click.option("--probe", is_flag=True, help="Try KVM again, even if its answer is remembered.")
@click.pass_obj
def doctor(root: Path | None, arch: str | None, probe: bool) -> None:
    """Show what this host has, what it lacks, its compilers, and which accelerator it would use.

    Exit code 3 when something is missing.
    """
    from toolkit.core import paths
    from toolkit.core.deadline import Deadline
    from toolkit.host.cache import Cache
    from toolkit.workflow import doctor as doctor_

    places, target = paths.resolve(root), options.architecture(arch)
    findings = list(doctor_.examine_host(places, target))
    findings += doctor_.examine_toolchains(target, Deadline.after(60))
    store = Cache(places.cache, on_wait=_say_wait)
    findings += doctor_.examine_accelerator(target, store, Deadline.after(60), again=probe)
    for finding in findings:
        label, colour = _LABELS[finding.good]
        click.secho(f"{label:>4}  ", fg=colour, nl=False)
        click.echo(finding.text)
    if any(finding.good is False for finding in findings):
        click.get_current_context().exit(EXIT_INFRASTRUCTURE)


def _say_wait(what: str, whom: str) -> None:
    if whom:
        click.echo(text.printable(f"waiting for {what}, held by {whom}"), err=True)


_LABELS = {True: ("ok", "green"), False: ("NO", "red"), None: ("--", "yellow")}


@click.group()
def cache() -> None:
    """List and prune the cache, and keep the keys of a shared one."""


@cache.command("list")
@click.pass_obj
def cache_list(root: Path | None) -> None:
    """List what the cache holds, least recently used first."""
    entries = _cache(root).entries()
    for entry in entries:
        name = f"{entry.kind}/{entry.key}"
        click.echo(f"{text.size(entry.size):>9}  {_when(entry.used)}  {name:<45}  {entry.label}")
    size = text.size(sum(entry.size for entry in entries))
    click.echo(f"{size:>9}  in {text.counted(len(entries), 'entry', 'entries')}")


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


@cache.command("keygen")
@click.pass_obj
def cache_keygen(root: Path | None) -> None:
    """Make a key that signs what this user puts into a shared cache.

    Prints the public half, for `toolkit cache trust` on the other hosts.
    """
    click.echo(_keyring(root).make_own().public.text)


@cache.command("trust")
@click.argument("key", nargs=-1)
@click.pass_obj
def cache_trust(root: Path | None, key: tuple[str, ...]) -> None:
    """Take what KEY has signed from a shared cache; without KEY list the trusted ones.

    KEY is the line that `toolkit cache keygen` printed there. Who holds the other half decides what
    runs on this host: its kernels, and programs of its suites in them.
    """
    from toolkit.host.shared import keys

    ring = _keyring(root)
    if key:
        added = ring.trust(keys.parse(" ".join(key)))
        click.echo("trusted from now on" if added else "trusted already")
        return
    for each in ring.trusted():
        click.echo(text.printable(each.text))


@cache.command("distrust")
@click.argument("key", nargs=-1, required=True)
@click.pass_obj
def cache_distrust(root: Path | None, key: tuple[str, ...]) -> None:
    """Trust KEY no longer. What was taken by it stays in this host's cache until it is pruned."""
    from toolkit.core.errors import UserError
    from toolkit.host.shared import keys

    if not _keyring(root).distrust(keys.parse(" ".join(key))):
        raise UserError("that key was not trusted")


def _keyring(root: Path | None) -> Keyring:
    from toolkit.core import paths
    from toolkit.host.shared.keys import Keyring

    return Keyring(paths.resolve(root).settings)


def _cache(root: Path | None) -> Any:
    from toolkit.core import paths
    from toolkit.host.cache import Cache

    return Cache(paths.resolve(root).cache)


@click.group()
def runs() -> None:
    """List and prune the folders of runs."""


@runs.command("list")
@click.pass_obj
def runs_list(root: Path | None) -> None:
    """List the run folders with their sizes, the oldest first.

    `toolkit history` says what became of each run.
    """
    from toolkit.core import paths
    from toolkit.report import run_folders

    recorded = run_folders.recorded(paths.resolve(root).runs)
    for each in recorded:
        click.echo(
            f"{text.size(each.size):>9}  {_when(each.used)}  {text.printable(str(each.path))}"
        )
    size = text.size(sum(each.size for each in recorded))
    click.echo(f"{size:>9}  in {text.counted(len(recorded), 'folder')}")


@runs.command("prune")
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    metavar="N",
    help="How many of the last runs stay.",
)
@click.option(
    "--newer-than",
    metavar="AGE",
    help="Keep those that changed in this time, too, such as 12h, 30d.",
)
@click.pass_obj
def runs_prune(root: Path | None, keep: int, newer_than: str | None) -> None:
    """Remove the folders of all but the last runs.

    The history keeps their verdicts. A folder that a run is using stays, and so does one that was
    made with --run-dir elsewhere.
    """
    from toolkit.core import paths
    from toolkit.report import run_folders

    age = text.parse_age(newer_than) if newer_than else 0.0
    freed = 0
    for each in run_folders.prune(paths.resolve(root).runs, keep=keep, newer_than=age):
        click.echo(f"removed {text.printable(str(each.path))} ({text.size(each.size)})")
        freed += each.size
    click.echo(f"{text.size(freed)} freed")


def _when(moment: float) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(moment).strftime("%Y-%m-%d %H:%M")
