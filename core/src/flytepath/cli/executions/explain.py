"""``flytepath executions explain``: why an execution, or a node, is where it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from flytepath import config
from flytepath.cli.display import show_seconds

if TYPE_CHECKING:
    from flytepath.client.explanations import Explanation


@click.command("explain")
@click.argument("execution", metavar="ID")
@click.argument("node", required=False, default="")
@click.option("--at", default=None, metavar="SEQ|TIME", help="As it was: after this event, or at a time: '10m ago'.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(execution: str, node: str, at: str | None, as_json: bool) -> None:
    """Why an execution is where it is, or why NODE waits, was skipped, failed, or did not have to run.

    Each fact ends with the number of the event that says so; `show ID --events` lists them.
    """
    from flytepath.client import LocalClient, Scope

    with LocalClient(config.home()) as client:
        explanation = client.explain(Scope.of_this_user(), execution, node, at=at)
    if as_json:
        click.echo(json.dumps(explanation.model_dump(mode="json"), indent=2))
        return
    if explanation.past:
        click.echo(f"as it was after event {explanation.seq}; it has gone on since")
    _show(explanation, "")


def _show(explanation: Explanation, indent: str) -> None:
    what = f"{explanation.node} {explanation.name}" if explanation.node else f"execution {explanation.execution}"
    click.echo(f"{indent}{what}: {explanation.status}: {explanation.summary}")
    for fact in explanation.facts:
        click.echo(f"{indent}  - {fact.text}{f'  [event {fact.seq}]' if fact.seq else ''}")
    spans = []
    if explanation.waited_seconds is not None:
        spans.append(f"waited {show_seconds(explanation.waited_seconds)}")
    if explanation.ran_seconds is not None:
        spans.append(f"ran {show_seconds(explanation.ran_seconds)}")
    if spans and explanation.summary != "explained above":
        click.echo(f"{indent}  - {', '.join(spans)}")
    if explanation.command:
        click.echo(f"{indent}  > {explanation.command}")
    for cause in explanation.causes:
        _show(cause, f"{indent}  ")
