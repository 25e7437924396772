"""``flytepath executions watch``: follow an execution that another process drives."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from flytepath import config

if TYPE_CHECKING:
    from flytepath.client import LocalClient, Scope
    from flytepath.client.history import Follower
    from flytepath.model.events import Event

#: Looks at the log are at least so far apart where something happens, and at most so far where nothing does.
SHORTEST: Final = 0.1
LONGEST: Final = 1.0
#: How often it is asked whether anybody drives the execution.
DRIVEN: Final = 3.0


@click.command("watch")
@click.argument("execution", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print the events as JSON, a line each, from the first on.")
def watch(execution: str, as_json: bool) -> None:
    """Follow an execution live until it ends, whoever drives it. Ctrl-C ends the watching, not the execution.

    The exit status is 1 if it failed or was aborted.
    """
    from flytepath.cli.display import show_literal
    from flytepath.cli.progress import progress_of, report_failure
    from flytepath.client import LocalClient, Scope

    scope = Scope.of_this_user()
    try:
        with LocalClient(config.home()) as client:
            follower = client.follow(scope, execution)
            if as_json:
                for event in _until_its_end(client, scope, execution, follower):
                    click.echo(json.dumps(event.to_json()))
            else:
                before = list(follower.advance())
                nodes = follower.state.nodes
                done = [path for path, node in nodes.items() if node.status == "succeeded"]
                names = {path: node.name for path, node in nodes.items()}
                progress = progress_of(names, done, lambda: client.standings().of)
                for event in before:
                    progress.learn(event)
                with progress:
                    for event in _until_its_end(client, scope, execution, follower):
                        node = follower.state.find(getattr(event.payload, "node", None) or "")
                        progress.event(event, "" if node is None else node.name)
            view = client.execution(scope, execution)
    except KeyboardInterrupt:
        click.echo(f"\nno longer watching; execution {execution} goes on", err=True)
        sys.exit(130)
    if not as_json:
        for name, literal in view.outputs.items():
            click.echo(f"{name} = {show_literal(literal)}")
        if view.status != "succeeded":
            report_failure(view.error, view.failed_node)
        click.echo(f"execution {execution} {view.status}", err=view.status != "succeeded")
    if view.status != "succeeded":
        sys.exit(1)


def _until_its_end(client: LocalClient, scope: Scope, execution: str, follower: Follower) -> Iterator[Event]:
    for new in news(client, scope, execution, follower):
        yield from new


def news(client: LocalClient, scope: Scope, execution: str, follower: Follower) -> Iterator[list[Event]]:
    """What happens, look by look, until the execution has ended. Says once where nobody drives it."""
    pause, asked, told = SHORTEST, time.monotonic(), False
    while True:
        events = list(follower.advance())
        yield events
        if follower.state.status.is_final:
            return
        pause = SHORTEST if events else min(LONGEST, pause * 1.3)
        if not told and not events and time.monotonic() - asked > DRIVEN:
            asked = time.monotonic()
            told = not client.is_driven(scope, execution)
            if told:
                hint = f"go on with: flytepath executions resume {execution}"
                click.echo(f"nobody drives execution {execution}; {hint}", err=True)
        time.sleep(pause)
