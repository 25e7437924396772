"""``flytepath executions resume | recover``: what this process drives to its end."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import click

from flytepath import config
from flytepath.cli.display import show_literal

if TYPE_CHECKING:
    from flytepath.client import LocalClient, Scope
    from flytepath.client.views import ExecutionView


def follow(
    client: LocalClient,
    scope: Scope,
    execution: str,
    tasks: Mapping[str, str],
    *,
    as_json: bool,
    done: Collection[str] = (),
    in_process: bool = False,
    again: bool = False,
) -> None:
    """Drive an execution to its end with live progress, print its outputs, and exit with 1 if it failed.

    Args:
        client: who drives it.
        scope: for whom.
        execution: its id.
        tasks: what each node runs, by its path.
        as_json: print the execution as JSON.
        done: nodes that have succeeded before.
        in_process: run tasks right here, for debuggers.
        again: it was interrupted or paused before.
    """
    from flytepath.cli.progress import caught_up, progress_of, report_failure
    from flytepath.errors import StoreError

    try:
        progress = progress_of(tasks, done, lambda: client.standings().of)
        events = client.events(scope, execution)
        caught_up(progress, events if again else events[:1])
        with progress:
            if again:
                view = client.resume(scope, execution, progress, in_process=in_process)
            else:  # an engine may have begun before we could look
                view = client.wait(scope, execution, progress, in_process=in_process, since=1)
    except KeyboardInterrupt:
        click.echo(
            f"\nexecution {execution} was interrupted; go on with: flytepath executions resume {execution}", err=True
        )
        sys.exit(130)
    except StoreError:
        click.echo(f"when the store is well again, go on with: flytepath executions resume {execution}\n", err=True)
        raise
    if as_json:
        click.echo(json.dumps(view.model_dump(mode="json"), indent=2))
    else:
        for name, literal in view.outputs.items():
            click.echo(f"{name} = {show_literal(literal)}")
        if view.decks:
            by_node: dict[str, list[str]] = {}
            for deck in view.decks:
                by_node.setdefault(deck.node, []).append(deck.name)
            for node, names in by_node.items():
                click.echo(f"decks of {node}: {', '.join(names)}")
            click.echo(f"write the decks as HTML files with: flytepath executions deck {execution}", err=True)
    if view.status != "succeeded":
        if not as_json:
            report_failure(view.error, view.failed_node)
            click.echo(f"\nexecution {execution} {view.status}", err=True)
            if view.status == "failed":
                click.echo(f"run again what failed with: flytepath executions recover {execution}", err=True)
        sys.exit(1)
    if not as_json:
        click.echo(f"execution {execution} succeeded")


@click.command("resume")
@click.argument("execution", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def resume(execution: str, as_json: bool) -> None:
    """Go on with an execution that was interrupted or paused. What succeeded does not run again."""
    from flytepath.client import LocalClient, Scope
    from flytepath.errors import ExecutionStateError

    scope = Scope.of_this_user()
    with LocalClient(config.home()) as client:
        view = client.execution(scope, execution)
        if view.status == "running" and not view.paused and not view.interrupted:
            raise ExecutionStateError(
                f"execution {execution} is running already",
                place=execution,
                hint=f"follow it with: flytepath executions watch {execution}",
            )
        _drive(client, scope, view, as_json=as_json, again=True)


@click.command("recover")
@click.argument("execution", metavar="ID")
@click.option("--name", default=None, help="The id of the new execution, instead of one that is made up.")
@click.option("--detach", is_flag=True, help="Only ask for it: print the new id and leave the run to an engine.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def recover(execution: str, name: str | None, detach: bool, as_json: bool) -> None:
    """Run a failed or aborted execution again, as a new one that takes over all that succeeded in it."""
    from flytepath.client import LocalClient

    with LocalClient(config.home()) as client:
        scope = scope_of(client, execution)
        started = client.recover(scope, execution, name=name)
        started_again(client, scope, started, f"recovers {execution}", detach=detach, as_json=as_json)


def scope_of(client: LocalClient, execution: str) -> Scope:
    """The scope of this person in the project and domain of an execution."""
    from flytepath.client import Scope
    from flytepath.model.identity import Tenant

    view = client.execution(Scope.of_this_user(), execution)
    return Scope.of_this_user(Tenant(view.project, view.domain))


def started_again(client: LocalClient, scope: Scope, execution: str, what: str, *, detach: bool, as_json: bool) -> None:
    """Drive a new execution as ``run`` does, or with ``detach`` only say its id."""
    if detach:
        _said(execution, what, as_json)
        return
    if not as_json:
        click.echo(f"execution {execution} {what}", err=True)
    _drive(client, scope, client.execution(scope, execution), as_json=as_json)


def _said(execution: str, what: str, as_json: bool) -> None:
    click.echo(json.dumps({"id": execution, "detail": what}) if as_json else f"execution {execution} {what}")


def _drive(client: LocalClient, scope: Scope, view: ExecutionView, *, as_json: bool, again: bool = False) -> None:
    tasks = {node.path: node.task for node in view.nodes}
    done = {node.path for node in view.nodes if node.status == "succeeded"}
    follow(client, scope, view.id, tasks, as_json=as_json, done=done, again=again)
