"""``flytepath executions diff``: what is not the same in two executions."""

from __future__ import annotations

import json

import click

from flytepath import config


@click.command("diff")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff(a: str, b: str, as_json: bool) -> None:
    """What differs between executions A and B: inputs, code, graph, environment, plugins, outcome, durations."""
    from itertools import groupby

    from flytepath.client import LocalClient, Scope

    with LocalClient(config.home()) as client:
        found = client.diff(Scope.of_this_user(), a, b)
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
        return
    if not found.changes:
        click.echo("nothing differs")
    for part, changes in groupby(found.changes, key=lambda change: change.part):
        click.echo(part)
        for change in changes:
            if change.before is None:
                click.echo(f"  + {change.name}: {change.after}")
            elif change.after is None:
                click.echo(f"  - {change.name}: {change.before}")
            else:
                click.echo(f"  ~ {change.name}: {change.before} -> {change.after}")
