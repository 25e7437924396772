"""``flytepath executions abort | pause | continue | signal``: what is asked of whoever drives an execution."""

from __future__ import annotations

import json

import click

from flytepath import config


@click.command("abort")
@click.argument("execution", metavar="ID")
@click.option("--reason", default="", help="Kept in the record.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def abort(execution: str, reason: str, as_json: bool) -> None:
    """End an execution for good: what runs is killed, what succeeded stays in the record."""
    from flytepath.client import LocalClient, Scope

    scope = Scope.of_this_user()
    with LocalClient(config.home()) as client:
        client.abort(scope, execution, reason)
        status = client.execution(scope, execution).status
    _answer(execution, status, "was asked to end" if status == "running" else status, as_json)


@click.command("pause")
@click.argument("execution", metavar="ID")
@click.option("--reason", default="", help="Kept in the record, and shown.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pause(execution: str, reason: str, as_json: bool) -> None:
    """Let nothing new start in an execution; what runs goes on to its end."""
    from flytepath.client import LocalClient, Scope

    scope = Scope.of_this_user()
    with LocalClient(config.home()) as client:
        client.pause(scope, execution, reason)
        status = client.execution(scope, execution).status
    _answer(execution, status, "was asked to pause", as_json)


@click.command("continue")
@click.argument("execution", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def unpause(execution: str, as_json: bool) -> None:
    """Let a paused execution go on."""
    from flytepath.client import LocalClient, Scope

    scope = Scope.of_this_user()
    with LocalClient(config.home()) as client:
        client.unpause(scope, execution)
        view = client.execution(scope, execution)
    _answer(execution, view.status, "was asked to go on", as_json)
    if view.interrupted:
        click.echo(f"nobody drives it; go on with: flytepath executions resume {execution}", err=True)


#: What may be typed in place of --approve and --reject.
_ANSWERS = {"yes": True, "true": True, "approve": True, "no": False, "false": False, "reject": False}


@click.command("signal")
@click.argument("execution", metavar="ID")
@click.argument("name", metavar="NAME")
@click.argument("value", required=False)
@click.option("--approve/--reject", default=None, help="Answer an approval.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def signal(execution: str, name: str, value: str | None, approve: bool | None, as_json: bool) -> None:
    """Answer gate NAME (or the node at path NAME): approve it, or give the VALUE it waits for, as JSON or text."""
    from flytepath.client import LocalClient, Scope
    from flytepath.client.plain_values import read_value
    from flytepath.errors import UsageError
    from flytepath.model.identity import Tenant

    if value is not None and approve is not None:
        raise UsageError("a value or an approval, not both", place=name)
    with LocalClient(config.home()) as client:
        view = client.execution(Scope.of_this_user(), execution)
        scope = Scope.of_this_user(Tenant(view.project, view.domain))
        wanted = client.gate_type(scope, execution, name)
        if wanted is None:
            agreed = approve if value is None else _ANSWERS.get(value.lower())
            if agreed is None:  # nothing is approved by omission
                raise UsageError(f"{name} waits for an approval", expected="--approve or --reject", actual=value)
            client.signal(scope, execution, name, approve=agreed)
        elif value is None:
            raise UsageError(f"{name} waits for a value", place=name, expected=str(wanted))
        else:
            client.signal(scope, execution, name, value=read_value(wanted, value, client.blobs(scope), name))
    if as_json:
        click.echo(json.dumps({"id": execution, "gate": name, "answered": True}))
    else:
        click.echo(f"{name} of execution {execution} is answered")
    if view.interrupted:
        click.echo(f"nobody drives it; go on with: flytepath executions resume {execution}", err=True)


def _answer(execution: str, status: str, what: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"id": execution, "status": status, "detail": what}))
    else:
        click.echo(f"execution {execution} {what}")
