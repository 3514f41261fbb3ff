"""Maintenance: ``toolkit doctor`` and ``toolkit cache``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toolkit.core import text
from toolkit.core.errors import EXIT_INFRASTRUCTURE

# Everything else is imported where it is used: `toolkit --help` must be quick.


@click.command()
@click.option("--probe", is_flag=True, help="Try KVM again, even if its answer is remembered.")
@click.pass_obj
def doctor(root: Path | None, probe: bool) -> None:
    """Show what this host has, what it lacks, and which accelerator would be used.

    Exit code 3 when something is missing.
    """
    from toolkit.core import paths
    from toolkit.core.deadline import Deadline
    from toolkit.host.cache import Cache
    from toolkit.workflow import doctor as doctor_

    places = paths.resolve(root)
    findings = list(doctor_.examine_host(places))
    findings += doctor_.examine_accelerator(Cache(places.cache), Deadline.after(60), again=probe)
    for finding in findings:
        label, colour = _LABELS[finding.good]
        click.secho(f"{label:>4}  ", fg=colour, nl=False)
        click.echo(finding.text)
    if any(finding.good is False for finding in findings):
        click.get_current_context().exit(EXIT_INFRASTRUCTURE)


_LABELS = {True: ("ok", "green"), False: ("NO", "red"), None: ("--", "yellow")}


@click.group()
def cache() -> None:
    """List and prune the cache."""


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


def _cache(root: Path | None) -> Any:
    from toolkit.core import paths
    from toolkit.host.cache import Cache

    return Cache(paths.resolve(root).cache)
