"""``flytepath executions list``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import click

from flytepath import config
from flytepath.cli.display import show_status, show_time

STATUSES = ("running", "paused", "interrupted", "succeeded", "failed", "aborted")


@click.command("list")
@click.option("-p", "--project", default=None, help="Only this project.")
@click.option("-d", "--domain", default=None, help="Only this domain.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option("--status", default=None, type=click.Choice(STATUSES), help="Only these.")
@click.option("--workflow", default=None, help="Only this workflow: its whole name, or the last part of it.")
@click.option("--since", default=None, metavar="TIME", help="Only those created since: an ISO time, or 2h ago.")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="Only with this label; repeatable.")
@click.option("--cursor", default=None, help="Go on after the last of an earlier list.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_executions(
    project: str | None,
    domain: str | None,
    limit: int,
    status: str | None,
    workflow: str | None,
    since: str | None,
    labels: Sequence[str],
    cursor: str | None,
    as_json: bool,
) -> None:
    """The newest executions."""
    from flytepath.cli.inputs import pairs
    from flytepath.client import LocalClient, Scope
    from flytepath.client.history import moment
    from flytepath.client.job_viewing import counted
    from flytepath.errors import UsageError
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    scope = None
    if project or domain:
        scope = Scope.of_this_user(Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN))
    wanted = pairs("--label", labels)
    created_since = None
    if since is not None:
        try:
            created_since = moment(since, time.time())
        except UsageError as error:
            error.place = "--since"
            raise
    with LocalClient(config.home()) as client:
        rows = client.executions(
            scope, limit, status, workflow=workflow, since=created_since, labels=wanted, cursor=cursor
        )
    if as_json:
        click.echo(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
        return
    if not rows:
        click.echo("no executions", err=True)
        return
    for row in rows:
        state = show_status(row.status, paused=row.paused, interrupted=row.interrupted)
        line = f"{row.id}  {state:11}  {show_time(row.created_at)}  {row.project}/{row.domain}  {row.workflow}"
        click.echo(f"{line}  jobs: {counted(row.jobs)}" if row.jobs else line)
    if len(rows) == limit:
        click.echo(f"older ones: --cursor '{rows[-1].cursor}'", err=True)
