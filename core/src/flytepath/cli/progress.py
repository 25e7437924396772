"""Live progress of an execution: a table that redraws in a terminal, plain lines everywhere else."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Protocol

import click

from flytepath.cli.display import show_error, show_seconds
from flytepath.model.events import (
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    BoundaryChecked,
    CallStarted,
    DeckWritten,
    Event,
    GateOpened,
    HandlerStarted,
    NodeExpanded,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    SignalReceived,
)


class Progress(Protocol):
    """Listens to an execution between ``__enter__`` and ``__exit__``."""

    def event(self, event: Event, name: str = "") -> None: ...

    def output(self, node: str, stream: str, text: str) -> None: ...

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_of(tasks: Mapping[str, str], done: Collection[str] = ()) -> Progress:
    """The progress that suits standard error: live in a terminal, plain lines otherwise.

    Args:
        tasks: the full name of what each node runs, or its own, by the node's path. Nodes that come up in the run
            join them.
        done: nodes that have succeeded before, in a run that is resumed.
    """
    names = {path: task.rpartition(".")[2] for path, task in tasks.items()}
    return LiveProgress(names, done) if sys.stderr.isatty() else PlainProgress(names, done)


class LineBuffer:
    """Whole lines out of the pieces a task's output comes in, kept apart by node and stream."""

    def __init__(self) -> None:
        self._partial: dict[tuple[str, str], str] = {}

    def lines(self, node: str, stream: str, text: str) -> list[str]:
        """The lines that are complete with ``text``."""
        *whole, rest = (self._partial.pop((node, stream), "") + text).split("\n")
        if rest:
            self._partial[node, stream] = rest
        return [line.rstrip("\r") for line in whole]

    def rest(self, node: str) -> list[str]:
        """What the node's streams ended with, without a new line."""
        return [self._partial.pop(key) for key in [key for key in self._partial if key[0] == node]]


def _learn(names: dict[str, str], event: Event, name: str) -> None:
    """Remember what a node runs that came up in the run."""
    node = getattr(event.payload, "node", "")
    if isinstance(event.payload, GateOpened):
        names[node] = name
    elif node and not names.get(node):
        names[node] = name.rpartition(".")[2]


def gate_note(event: Event, payload: GateOpened) -> str:
    """What an open gate waits for, and how to answer it."""
    if payload.due is not None:
        return f"sleeps for {show_seconds(payload.due - event.at)}"
    until = "" if payload.expires is None else f" for at most {show_seconds(payload.expires - event.at)}"
    name = shlex.quote(payload.signal or payload.node)
    answer = "--approve (or --reject)" if payload.kind == "approve" else "VALUE"
    return f"waits{until}; answer with: flytepath executions signal {event.execution} {name} {answer}"


class PlainProgress:
    """A line for each thing that happens, on standard error."""

    def __init__(self, names: dict[str, str], done: Collection[str] = ()) -> None:
        self._names = names
        self._done = done
        self._started: dict[str, float] = {}
        self._buffer = LineBuffer()

    def __enter__(self) -> PlainProgress:
        if self._done:
            click.echo(f"{len(self._done)} of {len(self._names)} nodes had succeeded before", err=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put back."""

    def event(self, event: Event, name: str = "") -> None:
        """Print what ``event`` means to a person, if anything."""
        _learn(self._names, event, name)
        line = self._line(event)
        if line:
            self._print(getattr(event.payload, "node", ""), self._buffer.rest(getattr(event.payload, "node", "")))
            click.echo(line, err=True)

    def output(self, node: str, stream: str, text: str) -> None:
        """Pass on what a task prints, each line with its node."""
        self._print(node, self._buffer.lines(node, stream, text))

    def _print(self, node: str, lines: list[str]) -> None:
        for line in lines:
            click.echo(f"{node} {self._names.get(node, '')} | {line}", err=True)

    def _line(self, event: Event) -> str:
        payload = event.payload
        label = f"{getattr(payload, 'node', '')} {self._names.get(getattr(payload, 'node', ''), '')}".strip()
        match payload:
            case AttemptStarted():
                self._started[payload.node] = event.at
                return f"{label}: started" + (f" (attempt {payload.attempt})" if payload.attempt > 1 else "")
            case NodeExpanded(items=int(items)):
                self._started[payload.node] = event.at
                return f"{label}: {items} items"
            case NodeExpanded():
                self._started.setdefault(payload.node, event.at)
                return ""
            case CallStarted():
                self._names[f"{payload.node}/{payload.call}"] = payload.callee.rpartition(".")[2]
                self._started[f"{payload.node}/{payload.call}"] = event.at
                return ""
            case GateOpened():
                self._started[payload.node] = event.at
                return f"{label}: {gate_note(event, payload)}"
            case SignalReceived():
                return f"{label}: answered by {event.actor.name}"
            case HandlerStarted():
                return f"{payload.failed} failed; its failure handler runs"
            case NodeSucceeded(cached=key) if key:
                return f"{label}: cached"
            case NodeSucceeded():
                return f"{label}: succeeded in {show_seconds(event.at - self._started.get(payload.node, event.at))}"
            case AttemptFailed():
                again = "" if payload.retry_at is None else "; it is tried again"
                return f"{label}: attempt {payload.attempt} failed: {payload.error.message}{again}"
            case AttemptLost():
                return f"{label}: attempt {payload.attempt} was lost: {payload.error.message}"
            case NodeFailed():
                return f"{label}: failed"
            case NodeSkipped():
                return f"{label}: skipped, {payload.reason}"
            case DeckWritten():
                return f"{label}: wrote deck {payload.name!r}"
            case BoundaryChecked(passed=False):
                return f"{label}: {payload.variable}: {payload.message}"
        return ""


class LiveProgress:
    """A table of nodes, redrawn as they go."""

    _MARKS = {
        "waiting": "[dim]·[/]",
        "running": "[yellow]▸[/]",
        "retrying": "[yellow]↻[/]",
        "paused": "[cyan]⏸[/]",
        "succeeded": "[green]✓[/]",
        "failed": "[red]✗[/]",
        "skipped": "[dim]–[/]",
    }

    def __init__(self, names: dict[str, str], done: Collection[str] = ()) -> None:
        from rich.console import Console
        from rich.live import Live

        self._names = names
        self._status = {node: "succeeded" if node in done else "waiting" for node in names}
        self._note = dict.fromkeys(names, "")
        self._buffer = LineBuffer()
        self._started: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=8)

    def __enter__(self) -> LiveProgress:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def output(self, node: str, stream: str, text: str) -> None:
        """Print above the table."""
        from rich.text import Text

        for line in self._buffer.lines(node, stream, text):
            self._console.print(Text(f"{self._names.get(node, node)} | {line}", style="dim"))

    def event(self, event: Event, name: str = "") -> None:
        """Move a node's row."""
        _learn(self._names, event, name)
        payload = event.payload
        match payload:
            case AttemptStarted():
                self._set(payload.node, "running", f"attempt {payload.attempt}" if payload.attempt > 1 else "")
                self._started.setdefault(payload.node, time.time())
            case NodeExpanded():
                self._set(payload.node, "running", f"{payload.items} items" if payload.items is not None else "")
                self._started.setdefault(payload.node, time.time())
            case CallStarted():
                path = f"{payload.node}/{payload.call}"
                self._names[path] = payload.callee.rpartition(".")[2]
                self._set(path, "running")
                self._started.setdefault(path, time.time())
            case GateOpened():
                self._set(payload.node, "paused", gate_note(event, payload))
                self._started.setdefault(payload.node, time.time())
            case NodeSucceeded():
                self._set(payload.node, "succeeded", "cached" if payload.cached else "")
            case AttemptFailed() | AttemptLost():
                self._set(payload.node, "retrying", payload.error.message)
            case NodeFailed():
                self._set(payload.node, "failed", payload.error.message)
            case NodeSkipped():
                self._set(payload.node, "skipped", payload.reason)
            case DeckWritten():
                self._note[payload.node] = f"deck {payload.name!r}"

    def _set(self, node: str, status: str, note: str = "") -> None:
        self._names.setdefault(node, "")
        self._status[node] = status
        keeps_note = status == "succeeded" and self._note.get(node, "").startswith("deck")
        self._note[node] = note or (self._note[node] if keeps_note else "")
        if status in ("succeeded", "failed", "skipped"):
            self._ended[node] = time.time()

    def _table(self) -> Any:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1))
        done = sum(status == "succeeded" for status in self._status.values())
        for node in self._shown():
            started = self._started.get(node)
            spent = "" if started is None else show_seconds(self._ended.get(node, time.time()) - started)
            note = escape(self._note[node].splitlines()[0][:120]) if self._note[node] else ""
            table.add_row(self._MARKS[self._status[node]], node, self._names[node], spent, f"[dim]{note}[/]")
        table.add_row("", "", f"[bold]{done} of {len(self._status)} nodes[/]", "", "")
        return table

    def _shown(self) -> list[str]:
        """All nodes, or where they are too many for a screen those that are on the move."""
        limit = max(5, self._console.size.height - 4)
        if len(self._status) <= limit:
            return list(self._status)
        moving = [n for n, status in self._status.items() if status in ("paused", "running", "retrying", "failed")]
        return moving[:limit]


def report_failure(error: Any, node: str | None) -> None:
    """Print why an execution failed."""
    if error is not None:
        click.echo(f"\nError{f' in {node}' if node else ''}: {show_error(error)}", err=True)
