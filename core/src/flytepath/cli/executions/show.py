"""``flytepath executions show``: an execution or one of its nodes, as it is or as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from flytepath import config
from flytepath.cli.display import show_error, show_items, show_literal, show_seconds, show_status, show_time

if TYPE_CHECKING:
    from flytepath.client.views import ExecutionView, GateView, NodeDetail, NodeView
    from flytepath.model.events import Event


@click.command("show")
@click.argument("execution", metavar="ID")
@click.argument("node", required=False, default="")
@click.option("--at", default=None, metavar="SEQ|TIME", help="As it was: after this event, or at a time: '10m ago'.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="How many items of a map.")
@click.option("--from", "first", default=0, type=click.IntRange(0), help="The first of them.")
@click.option("--events", is_flag=True, help="The whole log, an event a line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the log.")
def show(execution: str, node: str, at: str | None, limit: int, first: int, events: bool, as_json: bool) -> None:
    """One execution: its nodes, outputs, decks and, if it failed, why. With NODE, that node: n2, n0/17."""
    from flytepath.client import LocalClient, Scope

    scope = Scope.of_this_user()
    view: ExecutionView | NodeDetail
    with LocalClient(config.home()) as client:
        if node:
            view = client.node(scope, execution, node, at=at, limit=limit, after=first)
        else:
            view = client.execution(scope, execution, at=at)
        log = client.events(scope, execution)[: view.seq] if events or as_json else []
    if node:
        log = [event for event in log if concerns(event, node)]
    if as_json:
        data = view.model_dump(mode="json") | {"events": [event.to_json() for event in log]}
        click.echo(json.dumps(data, indent=2))
        return
    if node:
        _show_node(view)  # type: ignore[arg-type]
    else:
        _show_execution(view)  # type: ignore[arg-type]
    for event in log:
        click.echo(show_event(event))


def concerns(event: Event, node: str) -> bool:
    """Whether an event is about a node, or about items of a map of which it is one."""
    payload = event.payload
    path = getattr(payload, "node", None)
    if path == node:
        return True
    parent, _, last = node.rpartition("/")
    items: Sequence[Any] = getattr(payload, "items", None) or ()
    if path != parent or not isinstance(items, tuple) or not last.isdigit():
        return False
    return any(item[0] == int(last) for item in items)


def show_event(event: Event) -> str:
    """An event in a line."""
    detail = json.dumps(event.payload.model_dump(mode="json", exclude={"type"}))
    return f"{event.seq:5} {show_time(event.at)} {event.actor.kind}:{event.actor.name} {event.payload.type} {detail}"


def _show_execution(view: ExecutionView) -> None:
    click.echo(f"execution {view.id}")
    click.echo(f"workflow  {view.project}/{view.domain}/{view.workflow}@{view.version}")
    status = show_status(view.status, paused=view.paused, interrupted=view.interrupted)
    click.echo(f"status    {status}{f': {view.paused_reason}' if view.paused and view.paused_reason else ''}")
    if view.past:
        click.echo(f"past      as it was after event {view.seq}; it has gone on since")
    click.echo(f"started   {show_time(view.created_at)}")
    if view.ended_at is not None:
        click.echo(f"ended     {show_time(view.ended_at)} after {show_seconds(view.ended_at - view.created_at)}")
    elif view.deadline is not None:
        click.echo(f"deadline  {show_time(view.deadline)}")
    if view.plan:
        click.echo(f"schedule  of launch plan {view.plan}, for {show_time(view.scheduled_at)}")
    if view.recovers:
        click.echo(f"recovers  {view.recovers}")
    if view.relaunches:
        click.echo(f"repeats   {view.relaunches}")
    if view.labels:
        click.echo(f"labels    {', '.join(f'{key}={value}' for key, value in view.labels.items())}")
    _show_values("inputs", view.inputs)
    click.echo("nodes")
    width = min(24, max((len(node.path) for node in view.nodes), default=8))
    for node in _as_tree(view.nodes):
        click.echo(f"  {_node_line(node, width)}")
        for index, message in node.items.failures if node.items is not None else ():
            click.echo(f"    {node.path}/{index}: {message.strip().splitlines()[0] if message.strip() else 'failed'}")
        if node.items is not None and node.items.failed > len(node.items.failures):
            click.echo(f"    and {node.items.failed - len(node.items.failures):,} more that failed")
        _show_jobs(node, "    ")
    for gate in view.gates:
        click.echo(f"waits     {_waits(gate, view.id)}")
    for check in view.checks:
        verdict = "passed" if check.passed else f"failed: {check.message}"
        click.echo(f"  check at {check.node}({check.variable}), {check.side}: {verdict}")
    for deck in view.decks:
        click.echo(f"deck      {deck.node} {deck.name}: {deck.uri}")
    if view.logs:
        click.echo(f"logs      flytepath executions logs {view.id}")
    _show_values("outputs", view.outputs)
    if view.error is not None:
        click.echo(f"error     {f'in {view.failed_node}: ' if view.failed_node else ''}{show_error(view.error)}")
    if view.interrupted:
        click.echo(f"resume it with: flytepath executions resume {view.id}")
    elif view.paused:
        click.echo(f"let it go on with: flytepath executions continue {view.id}")


def _show_node(detail: NodeDetail) -> None:
    node = detail.node
    click.echo(f"node      {node.path} of execution {detail.execution}")
    click.echo(f"runs      {node.task} ({node.kind})")
    words = "cached" if node.cached else f"taken over from {node.recovered}" if node.recovered else node.reason
    click.echo(f"status    {node.status}{f', {words}' if words else ''}")
    if detail.past:
        click.echo(f"past      as it was after event {detail.seq}; the execution has gone on since")
    if node.started_at is not None:
        click.echo(f"started   {show_time(node.started_at)}")
    if node.ended_at is not None:
        spent = "" if node.started_at is None else f" after {show_seconds(node.ended_at - node.started_at)}"
        click.echo(f"ended     {show_time(node.ended_at)}{spent}")
    _show_values("inputs", detail.inputs)
    for attempt in detail.attempts:
        spent = "" if attempt.ended_at is None else f" after {show_seconds(attempt.ended_at - attempt.started_at)}"
        why = "" if attempt.error is None else f": {(attempt.error.message.splitlines() or [attempt.error.code])[0]}"
        click.echo(f"attempt   {attempt.number} {attempt.outcome}{spent}{why}")
    if node.items is not None:
        click.echo(f"items     {show_items(node.items)}")
    _show_jobs(node, "")
    for below in detail.below:
        click.echo(f"  {_node_line(below)}")
    if detail.more:
        shown = len(detail.below)
        after = int(detail.below[-1].path.rpartition("/")[2]) + 1 if shown else 0
        click.echo(f"  and {detail.more:,} more: --from {after}")
    if detail.gate is not None:
        click.echo(f"waits     {_waits(detail.gate, detail.execution)}")
    for check in detail.checks:
        click.echo(f"check     {check.variable}, {check.side}: {'passed' if check.passed else check.message}")
    for deck in detail.decks:
        click.echo(f"deck      {deck.name}: {deck.uri}")
    _show_values("outputs", detail.outputs)
    if node.error is not None:
        click.echo(f"error     {show_error(node.error)}")


def _show_jobs(node: NodeView, indent: str) -> None:
    """The remote jobs that run a node: of a map the first few slices, and all in numbers."""
    if node.items is not None and node.items.phases:
        from flytepath.client.job_viewing import counted

        click.echo(f"{indent}{'jobs':9} {counted(node.items.phases)}")
    for job in node.jobs:
        items = f", {sum(job.items.values()):,} items" if job.items else ""
        click.echo(f"{indent}{'job':9} {job.key[7:19]} {job.doing}{items}, since {show_time(job.since)}")
        for title, url in job.links:
            click.echo(f"{indent}{'':9} {title}: {url}")


def _as_tree(nodes: Sequence[NodeView]) -> Iterator[NodeView]:
    """Each node before those that lie below it, and those before what comes next beside it."""
    below: dict[str, list[NodeView]] = {}
    for node in nodes:
        below.setdefault(node.parent, []).append(node)
    pending = below.get("", [])[::-1]
    while pending:
        node = pending.pop()
        yield node
        pending += below.get(node.path, [])[::-1]


def _node_line(node: NodeView, width: int = 8) -> str:
    spent = show_seconds(node.ended_at - node.started_at) if node.started_at and node.ended_at else ""
    if node.items is not None:
        note = show_items(node.items)
    elif node.reason:
        note = node.reason
    elif node.recovered:
        note = f"from {node.recovered}"
    else:
        note = f"{node.attempts} attempts" if node.attempts > 1 else "cached" if node.cached else ""
    return f"{node.path:{width}} {node.status:10} {node.task:40} {spent:>8}  {note}".rstrip()


def _waits(gate: GateView, execution: str) -> str:
    until = "" if gate.until is None else f" until {show_time(gate.until)}"
    if gate.kind == "sleep":
        return f"{gate.node} sleeps{until}"
    answer = "--approve" if gate.kind == "approve" else f"VALUE ({gate.type})"
    return f"{gate.node} for {gate.signal}{until}: flytepath executions signal {execution} {gate.signal} {answer}"


def _show_values(title: str, values: Mapping[str, Any]) -> None:
    if values:
        click.echo(title)
        for name, literal in values.items():
            click.echo(f"  {name} = {show_literal(literal)}")
