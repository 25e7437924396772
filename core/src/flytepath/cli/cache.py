"""``flytepath cache``: what is kept of earlier runs, why a node was served with it or not, and how to drop it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

from flytepath import config
from flytepath.cli.display import show_time

if TYPE_CHECKING:
    from flytepath.client import Scope
    from flytepath.client.cache_explaining import CacheExplanation

_VERDICTS = {
    "hit": "hit",
    "recovered": "not looked up",
    "not_cached": "not cached",
    "overwritten": "not looked up",
    "artifact_missing": "miss",
    "no_entry": "miss",
    "miss": "miss",
    "undecided": "not looked up yet",
}


@click.group()
def cache() -> None:
    """Explain, list and drop the cached outputs of tasks."""


_project = click.option("-p", "--project", default=None, help="Of this project.")
_domain = click.option("-d", "--domain", default=None, help="Of this domain.")
_task = click.option(
    "--task", default=None, metavar="NAME", help="Only of this task: its name, or the last part of it."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@cache.command()
@click.argument("execution", metavar="ID")
@click.argument("node", metavar="NODE")
@_json
def explain(execution: str, node: str, as_json: bool) -> None:
    """Why the cache served NODE of an execution, or did not: which parts of the key differ from the nearest result."""
    from flytepath.client import LocalClient, Scope
    from flytepath.client.cache_explaining import Caches

    with LocalClient(config.home()) as client:
        found = Caches(client).explanation(Scope.of_this_user(), execution, node)
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        _show(found)


def _show(found: CacheExplanation) -> None:
    click.echo(f"{found.node} {found.task}: {_VERDICTS[found.verdict]}")
    click.echo(f"because   {found.reason}")
    if found.missing:
        click.echo(f"gone      {found.missing}")
    if found.key:
        click.echo(f"key       {found.key}")
    if found.source is not None:
        by = f"{found.source.execution} {found.source.node}" if found.source.execution else "a direct call"
        click.echo(f"result    {by}, {show_time(found.source.stored_at)}")
    for each in found.differences:
        click.echo(f"differs   {' '.join(filter(None, (each.part, each.name)))}")
        click.echo(f"  here    {each.here}")
        click.echo(f"  there   {each.there}")


@cache.command("list")
@_task
@_project
@_domain
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@_json
def list_entries(task: str | None, project: str | None, domain: str | None, limit: int, as_json: bool) -> None:
    """The newest results."""
    from flytepath.client import LocalClient
    from flytepath.client.cache_explaining import Caches

    with LocalClient(config.home()) as client:
        found = Caches(client).entries(_scope(project, domain), task, limit)
    if as_json:
        click.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    if not found:
        click.echo("nothing is cached", err=True)
    for each in found:
        by = f"{each.execution} {each.node}" if each.execution else "direct call"
        given = ", ".join(f"{name}={text}" for name, text in each.inputs.items())
        click.echo(f"{show_time(each.stored_at)}  {each.task}({given})  version {each.version}  {by}")


@cache.command()
@_task
@click.option("--older-than", default=None, metavar="TIME", help="Only what was kept that long ago: 12h, 90d, 4w.")
@_project
@_domain
@_json
def clear(task: str | None, older_than: str | None, project: str | None, domain: str | None, as_json: bool) -> None:
    """Drop cached outputs of a project and domain; tasks compute them anew. What they refer to stays until a prune."""
    from flytepath.client import LocalClient
    from flytepath.client.cache_explaining import Caches
    from flytepath.client.retention import seconds

    before = None if older_than is None else time.time() - seconds(older_than)
    with LocalClient(config.home()) as client:
        count = Caches(client).clear(_scope(project, domain), task, before)
    click.echo(json.dumps({"dropped": count}) if as_json else f"dropped {count} result{'' if count == 1 else 's'}")


def _scope(project: str | None, domain: str | None) -> Scope:
    from flytepath.client import Scope
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    return Scope.of_this_user(Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN))
