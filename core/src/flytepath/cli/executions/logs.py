"""``flytepath executions logs``: what tasks print, while they run and afterwards."""

from __future__ import annotations

import json
import sys
from collections import deque
from typing import TYPE_CHECKING

import click

from flytepath import config

if TYPE_CHECKING:
    from flytepath.client.logs import LogReader, Printed


@click.command("logs")
@click.argument("execution", metavar="ID")
@click.argument("node", required=False, default="")
@click.option("-f", "--follow", is_flag=True, help="Go on until the execution ends.")
@click.option("--attempt", default=None, type=click.IntRange(1), help="Only this attempt.")
@click.option("--tail", default=None, type=click.IntRange(0), help="Only the last lines of each attempt.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
def logs(execution: str, node: str, follow: bool, attempt: int | None, tail: int | None, as_json: bool) -> None:
    """What the tasks of an execution printed, or that of NODE and what lies below it: n2, n0/17.

    Standard output and standard error of an attempt are one text. Where several attempts are shown, each line begins
    with the node, and with #2 from its second attempt on.
    """
    from flytepath.cli.executions.watch import news
    from flytepath.client import LocalClient, Scope
    from flytepath.errors import NotFoundError

    scope = Scope.of_this_user()
    try:
        with LocalClient(config.home()) as client, client.logs(scope, execution, node, attempt=attempt) as reader:
            found = reader.attempts
            if not found and not follow:
                raise _nothing(execution, node, attempt)
            several = {each.node for each in found} != {node} or len(found) > 1
            printer = _Printer(prefixed=several, follows=follow, as_json=as_json, only=node)
            printer.show(reader, tail)
            if follow:
                for events in news(client, scope, execution, client.follow(scope, execution)):
                    reader.learn(events)
                    printer.show(reader)
            printer.finish()
    except KeyboardInterrupt:
        sys.exit(130)
    except NotFoundError:
        raise
    if not printer.lines and not as_json:
        click.echo(f"nothing was printed by {node or 'the tasks'} of execution {execution}", err=True)


def _nothing(execution: str, node: str, attempt: int | None) -> Exception:
    from flytepath.errors import NotFoundError

    what = f"node {node} of execution {execution}" if node else f"execution {execution}"
    if attempt is not None:
        return NotFoundError(f"{what} has no attempt {attempt}", place=node or execution, actual=f"attempt {attempt}")
    return NotFoundError(
        f"no task of {what} has started" if not node else f"no attempt of {what} has started",
        place=node or execution,
        hint="-f waits for it; `flytepath executions explain` says what it waits for",
    )


class _Printer:
    """Prints whole lines, each with where it comes from."""

    def __init__(self, *, prefixed: bool, follows: bool, as_json: bool, only: str) -> None:
        self._prefixed = prefixed
        self._follows = follows
        self._as_json = as_json
        self._only = only
        self._partial: dict[tuple[str, int], str] = {}
        self.lines = 0

    def show(self, reader: LogReader, tail: int | None = None) -> None:
        """Print what is new; with ``tail`` of each attempt only the last lines."""
        if tail is None:
            for printed in reader.read():
                for line in self._whole(printed):
                    self._print(printed.node, printed.attempt, line)
            return
        last: dict[tuple[str, int], deque[str]] = {}
        for printed in reader.read():
            key = (printed.node, printed.attempt)
            last.setdefault(key, deque(maxlen=tail)).extend(self._whole(printed))
        for (node, attempt), lines in last.items():
            for line in lines:
                self._print(node, attempt, line)

    def finish(self) -> None:
        """Print what did not end with a new line."""
        for (node, attempt), text in self._partial.items():
            self._print(node, attempt, text)
        self._partial.clear()

    def _whole(self, printed: Printed) -> list[str]:
        key = (printed.node, printed.attempt)
        *lines, rest = (self._partial.pop(key, "") + printed.text).split("\n")
        if rest and printed.ended:
            lines.append(rest)
        elif rest:
            self._partial[key] = rest
        return [line.removesuffix("\r") for line in lines]

    def _print(self, node: str, attempt: int, line: str) -> None:
        self.lines += 1
        if self._as_json:
            click.echo(json.dumps({"node": node, "attempt": attempt, "line": line}))
            return
        several = self._prefixed or node != self._only or (self._follows and attempt > 1)
        label = f"{node}#{attempt} " if attempt > 1 else f"{node} "
        click.echo(f"{label if several else ''}{line}")
