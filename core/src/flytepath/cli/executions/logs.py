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
    with the node, and with #2 from its second attempt on. The vendors of remote jobs that live are asked for what those
    have printed so far; the job of a slice of a map has one log, whose lines begin with the map and the job.
    """
    from flytepath.cli.executions.watch import news
    from flytepath.client import LocalClient, Scope
    from flytepath.errors import NotFoundError

    scope = Scope.of_this_user()
    try:
        with (
            LocalClient(config.home()) as client,
            client.logs(scope, execution, node, attempt=attempt, live=True, follows=follow) as reader,
        ):
            found = reader.attempts
            if not found and not follow:
                raise _nothing(execution, node, attempt)
            several = {each.node for each in found} != {node} or len(found) > 1
            printer = LogPrinter(prefixed=several, follows=follow, as_json=as_json, only=node)
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


class LogPrinter:
    """Prints whole lines, each with where it comes from.

    Args:
        prefixed: each line begins with that.
        follows: later attempts may come, whose lines begin so in any case.
        as_json: an object a line.
        only: the node whose lines need no beginning.
    """

    def __init__(self, *, prefixed: bool, follows: bool, as_json: bool, only: str) -> None:
        self._prefixed = prefixed
        self._follows = follows
        self._as_json = as_json
        self._only = only
        self._partial: dict[tuple[str, int, str], str] = {}
        self.lines = 0

    def show(self, reader: LogReader, tail: int | None = None) -> None:
        """Print what is new; with ``tail`` of each attempt only the last lines."""
        last: dict[tuple[str, int, str], deque[str]] = {}
        for printed in reader.read():
            key = (printed.node, printed.attempt, printed.job)
            if tail is not None:
                last.setdefault(key, deque(maxlen=tail)).extend(self._whole(printed))
                continue
            for line in self._whole(printed):
                self._print(*key, line)
        for key, lines in last.items():
            for line in lines:
                self._print(*key, line)
        for problem in reader.problems():
            click.echo(f"warning: {problem}", err=True)

    def finish(self) -> None:
        """Print what did not end with a new line."""
        for key, text in self._partial.items():
            self._print(*key, text)
        self._partial.clear()

    def _whole(self, printed: Printed) -> list[str]:
        key = (printed.node, printed.attempt, printed.job)
        *lines, rest = (self._partial.pop(key, "") + printed.text).split("\n")
        if rest and printed.ended:
            lines.append(rest)
        elif rest:
            self._partial[key] = rest
        return [line.removesuffix("\r") for line in lines]

    def _print(self, node: str, attempt: int, job: str, line: str) -> None:
        self.lines += 1
        short = job.removeprefix("sha256:")[:12]
        if self._as_json:
            click.echo(json.dumps({"node": node, "attempt": attempt, "line": line, **({"job": short} if job else {})}))
            return
        several = self._prefixed or node != self._only or (self._follows and attempt > 1)
        which = f"@{short}" if job else f"#{attempt}" if attempt > 1 else ""
        click.echo(f"{node}{which} {line}" if several else line)
