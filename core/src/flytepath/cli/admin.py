"""``flytepath admin``: keep a home in order: projections, what is old, what must go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from flytepath import config
from flytepath.cli.display import show_time

if TYPE_CHECKING:
    from flytepath.client.retention import PruneReport

#: How many executions are named before the rest is only counted.
_NAMED = 10


@click.group()
def admin() -> None:
    """Rebuild projections, remove old executions, erase values."""


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@admin.command()
@_json
def rebuild(as_json: bool) -> None:
    """Drop what follows from the event log and derive it again. Runs may go on meanwhile."""
    from flytepath.client.retention import Keeper

    with Keeper(config.home()) as keeper:
        count = keeper.rebuild()
    click.echo(
        json.dumps({"executions": count}, indent=2) if as_json else f"rebuilt from the log: {_of(count, 'execution')}"
    )


@admin.command()
@click.option("--older-than", required=True, metavar="TIME", help="Since their end: 12h, 90d, 4w (units s m h d w).")
@click.option(
    "--status",
    "states",
    multiple=True,
    type=click.Choice(["succeeded", "failed", "aborted"]),
    help="Only executions that ended so; may be given again. By default all that have ended.",
)
@click.option("-p", "--project", default=None, help="Only of this project.")
@click.option("-d", "--domain", default=None, help="Only of this domain.")
@click.option("--apply", is_flag=True, help="Do it; without, only say what would go.")
@click.option("--vacuum", is_flag=True, help="Also shrink the database file, which others have to wait for.")
@_json
def prune(
    older_than: str,
    states: tuple[str, ...],
    project: str | None,
    domain: str | None,
    apply: bool,
    vacuum: bool,
    as_json: bool,
) -> None:
    """Remove executions that ended long ago, and everything that nobody refers to any more.

    Without --apply nothing is touched. Runs may go on meanwhile, and a prune that was interrupted is simply run again.
    """
    from flytepath.client.retention import Keeper, seconds
    from flytepath.errors import UsageError

    if vacuum and not apply:
        raise UsageError("--vacuum goes with --apply", hint="without --apply nothing is touched")
    age = seconds(older_than)
    chosen = {"states": states} if states else {}
    with Keeper(config.home()) as keeper:
        report = keeper.prune(age, project=project, domain=domain, apply=apply, vacuum=vacuum, **chosen)
    if as_json:
        click.echo(json.dumps(report.model_dump(mode="json"), indent=2))
        return
    _show(report)


def _show(report: PruneReport) -> None:
    click.echo(
        f"{'removed' if report.applied else 'would remove'} what ended before {show_time(report.before)}, "
        "and what nobody refers to"
    )
    rows = (
        ("executions", f"{len(report.executions)} ({_of(report.events, 'event')}, {_of(report.values, 'value')})"),
        ("graphs", f"{report.graphs}"),
        ("in the database", _bytes(report.database_bytes)),
        ("blobs", f"{report.blobs} ({_bytes(report.blob_bytes)})"),
        ("other files", f"{report.files} ({_bytes(report.file_bytes)})"),
    )
    for title, text in rows:
        click.echo(f"  {title:16} {text}")
    for execution in report.executions[:_NAMED]:
        click.echo(f"  {execution}")
    if len(report.executions) > _NAMED:
        click.echo(f"  and {len(report.executions) - _NAMED} more; --json names all")
    if report.finished:
        click.echo(f"{_of(len(report.finished), 'execution')} of a prune that was interrupted went too")
    if report.needed:
        click.echo(f"kept for now, others recover from them: {', '.join(report.needed)}")
    if report.blobs_kept_because:
        click.echo(f"blobs and code were not looked at: {report.blobs_kept_because}", err=True)
    if not report.applied:
        click.echo("nothing was touched; add --apply to do it")


@admin.command()
@click.argument("execution", metavar="EXECUTION")
@click.option("--node", default="", help="The node that was given the value, or gave it; none for the whole execution.")
@click.option("--variable", default="", help="The name of the value there.")
@click.option("--digest", default="", help="The value itself, by its digest or the first digits of it.")
@_json
def erase(execution: str, node: str, variable: str, digest: str, as_json: bool) -> None:
    """Erase a value of an execution that has ended; its type, its digest and who erased it stay in the record."""
    from flytepath.client import Scope
    from flytepath.client.retention import Keeper

    with Keeper(config.home()) as keeper:
        report = keeper.erase(Scope.of_this_user(), execution, node=node, variable=variable, digest=digest)
    if as_json:
        click.echo(json.dumps(report.model_dump(mode="json"), indent=2))
        return
    click.echo(f"erased {report.digest} ({report.type}) from execution {execution}")
    if report.blobs:
        click.echo(f"  {_of(report.blobs, 'blob')} removed")
    if report.blobs_kept:
        click.echo(f"  {_of(report.blobs_kept, 'blob')} left, because something else refers or may refer to it")
    if report.also_in:
        click.echo(f"  the same value is kept by: {', '.join(report.also_in)}")


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _bytes(count: int) -> str:
    """A number of bytes for people.

    Example:
        >>> _bytes(999), _bytes(12_300_000)
        ('999 bytes', '12.3 MB')
    """
    if count < 1000:
        return f"{count} bytes"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"
