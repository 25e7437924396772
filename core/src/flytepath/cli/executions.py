"""``flytepath executions``: read back what ran, and resume what was interrupted."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flytepath import config
from flytepath.cli.display import show_error, show_literal, show_seconds, show_time

if TYPE_CHECKING:
    from flytepath.client import GateView, LocalClient, Scope


@click.group()
def executions() -> None:
    """List, show, resume, answer and abort executions."""


@executions.command("list")
@click.option("--project", default=None, help="Only this project.")
@click.option("--domain", default=None, help="Only this domain.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option(
    "--status", default=None, type=click.Choice(["running", "succeeded", "failed", "aborted"]), help="Only these."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_executions(project: str | None, domain: str | None, limit: int, status: str | None, as_json: bool) -> None:
    """The newest executions."""
    from flytepath.client import LocalClient, Scope
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    scope = None
    if project or domain:
        scope = Scope.of_this_user(Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN))
    with LocalClient(config.home()) as client:
        rows = client.executions(scope, limit, status)
    if as_json:
        click.echo(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
        return
    if not rows:
        click.echo("no executions", err=True)
        return
    for row in rows:
        state = "interrupted" if row.interrupted else row.status
        click.echo(f"{row.id}  {state:11}  {show_time(row.created_at)}  {row.project}/{row.domain}  {row.workflow}")


@executions.command("show")
@click.argument("execution", metavar="ID")
@click.option("--events", is_flag=True, help="The whole log, an event a line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the log.")
def show(execution: str, events: bool, as_json: bool) -> None:
    """One execution: its nodes, outputs, decks and, if it failed, why."""
    from flytepath.client import LocalClient, Scope

    scope = Scope.of_this_user()
    with LocalClient(config.home()) as client:
        view = client.execution(scope, execution)
        log = client.events(scope, execution) if events or as_json else []
    if as_json:
        data = view.model_dump(mode="json") | {"events": [event.to_json() for event in log]}
        click.echo(json.dumps(data, indent=2))
        return
    state = "interrupted" if view.interrupted else view.status
    click.echo(f"execution {view.id}")
    click.echo(f"workflow  {view.project}/{view.domain}/{view.workflow}@{view.version}")
    click.echo(f"status    {state}")
    click.echo(f"started   {show_time(view.created_at)}")
    if view.ended_at is not None:
        click.echo(f"ended     {show_time(view.ended_at)} after {show_seconds(view.ended_at - view.created_at)}")
    _show_values("inputs", view.inputs)
    click.echo("nodes")
    for node in view.nodes:
        spent = show_seconds(node.ended_at - node.started_at) if node.started_at and node.ended_at else ""
        tries = f"{node.attempts} attempts" if node.attempts > 1 else "cached" if node.cached else ""
        click.echo(f"  {node.path:8} {node.status:10} {node.task:40} {spent:>8}  {node.reason or tries}".rstrip())
    for gate in view.gates:
        click.echo(f"waits     {_waits(gate, view.id)}")
    for check in view.checks:
        verdict = "passed" if check.passed else f"failed: {check.message}"
        click.echo(f"  check at {check.node}({check.variable}), {check.side}: {verdict}")
    for deck in view.decks:
        click.echo(f"deck      {deck.node} {deck.name}: {deck.uri}")
    for log_written in view.logs:
        click.echo(f"log       {log_written.node} attempt {log_written.attempt}: {log_written.log.uri}")
    _show_values("outputs", view.outputs)
    if view.error is not None:
        click.echo(f"error     {f'in {view.failed_node}: ' if view.failed_node else ''}{show_error(view.error)}")
    if view.interrupted:
        click.echo(f"resume it with: flytepath executions resume {view.id}")
    for event in log:
        detail = json.dumps(event.payload.model_dump(mode="json", exclude={"type"}))
        click.echo(
            f"{event.seq:5} {show_time(event.at)} {event.actor.kind}:{event.actor.name} {event.payload.type} {detail}"
        )


def _waits(gate: GateView, execution: str) -> str:
    until = "" if gate.until is None else f" until {show_time(gate.until)}"
    if gate.kind == "sleep":
        return f"{gate.node} sleeps{until}"
    answer = "--approve" if gate.kind == "approve" else f"VALUE ({gate.type})"
    return f"{gate.node} for {gate.signal}{until}: flytepath executions signal {execution} {gate.signal} {answer}"


def _show_values(title: str, values: dict[str, Any]) -> None:
    if values:
        click.echo(title)
        for name, literal in values.items():
            click.echo(f"  {name} = {show_literal(literal)}")


@executions.command("resume")
@click.argument("execution", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def resume(execution: str, as_json: bool) -> None:
    """Go on with an execution whose process ended before it did. What succeeded does not run again."""
    from flytepath.client import LocalClient, Scope

    scope = Scope.of_this_user()
    with LocalClient(config.home()) as client:
        nodes = client.execution(scope, execution).nodes
        tasks = {node.path: node.task for node in nodes}
        done = {node.path for node in nodes if node.status == "succeeded"}
        follow(client, scope, execution, tasks, as_json=as_json, done=done)


#: What may be typed in place of --approve and --reject.
_ANSWERS = {"yes": True, "true": True, "approve": True, "no": False, "false": False, "reject": False}


@executions.command("signal")
@click.argument("execution", metavar="ID")
@click.argument("name", metavar="NAME")
@click.argument("value", required=False)
@click.option("--approve/--reject", default=None, help="Answer an approval.")
def signal(execution: str, name: str, value: str | None, approve: bool | None) -> None:
    """Answer gate NAME (or the node at path NAME): approve it, or give the VALUE it waits for, as JSON or text."""
    from flytepath.cli.signals import read_value
    from flytepath.client import LocalClient, Scope
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
    click.echo(f"{name} of execution {execution} is answered")
    if view.interrupted:
        click.echo(f"nobody drives it; go on with: flytepath executions resume {execution}", err=True)


@executions.command("abort")
@click.argument("execution", metavar="ID")
@click.option("--reason", default="", help="Kept in the record.")
def abort(execution: str, reason: str) -> None:
    """End an execution for good: what runs is killed, what succeeded stays in the record."""
    from flytepath.client import LocalClient, Scope

    scope = Scope.of_this_user()
    with LocalClient(config.home()) as client:
        client.abort(scope, execution, reason)
        status = client.execution(scope, execution).status
    click.echo(f"execution {execution} {'was asked to end' if status == 'running' else status}")


@executions.command("deck")
@click.argument("execution", metavar="ID")
@click.argument("node", required=False)
@click.option("--to", "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where to.")
def deck(execution: str, node: str | None, folder: Path) -> None:
    """Write the decks of an execution, or of one NODE, as HTML files, and print their names."""
    from flytepath.client import LocalClient, Scope
    from flytepath.errors import NotFoundError, UsageError
    from flytepath.model.identity import Tenant

    with LocalClient(config.home()) as client:
        view = client.execution(Scope.of_this_user(), execution)
        found = [item for item in view.decks if node in (None, item.node)]
        if not found:
            known = ", ".join(dict.fromkeys(item.node for item in view.decks))
            where = f"node {node!r} of execution {execution}" if node else f"execution {execution}"
            raise NotFoundError(f"{where} wrote no deck", expected=known and f"a node with decks: {known}")
        blobs = client.blobs(Scope.of_this_user(Tenant(view.project, view.domain)))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for item in found:
                path = folder / f"{_file_name(f'{item.node}-{item.attempt}-{item.name}')}.html"
                path.write_text(_page(item.name, blobs.get(item.ref).decode("utf-8", "replace")), "utf-8")
                click.echo(str(path))
        except OSError as error:
            raise UsageError("the deck cannot be written", place=str(folder), actual=str(error)) from error


def _page(title: str, content: str) -> str:
    """A deck as a page of its own; one that already is a page stays as it is."""
    if content.lstrip()[:9].lower().startswith(("<!doctype", "<html")):
        return content
    return f'<!doctype html>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n{content}\n'


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "deck"


def follow(
    client: LocalClient,
    scope: Scope,
    execution: str,
    tasks: Mapping[str, str],
    *,
    as_json: bool,
    done: Collection[str] = (),
    in_process: bool = False,
) -> None:
    """Drive an execution to its end with live progress, print its outputs, and exit with 1 if it failed."""
    from flytepath.cli.progress import progress_of, report_failure

    try:
        with progress_of(tasks, done) as progress:
            view = client.wait(scope, execution, progress, in_process=in_process)
    except KeyboardInterrupt:
        click.echo(
            f"\nexecution {execution} was interrupted; go on with: flytepath executions resume {execution}", err=True
        )
        sys.exit(130)
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
        sys.exit(1)
    if not as_json:
        click.echo(f"execution {execution} succeeded")
