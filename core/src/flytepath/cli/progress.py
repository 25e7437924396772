"""Live progress of an execution: a table that redraws in a terminal, plain lines everywhere else."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol

import click

from flytepath.cli.display import show_error, show_seconds
from flytepath.cli.job_progress import JobNotes, Look
from flytepath.model.events import (
    AbortRequested,
    AttemptFailed,
    AttemptLost,
    AttemptStarted,
    BoundaryChecked,
    CallStarted,
    DeadlinePassed,
    DeckWritten,
    Event,
    ExecutionContinued,
    ExecutionPaused,
    GateOpened,
    HandlerStarted,
    ItemsStarted,
    ItemsSucceeded,
    NodeExpanded,
    NodeFailed,
    NodeSkipped,
    NodeSucceeded,
    SignalReceived,
)

#: How many failed items of a map get a line of their own.
FAILED_ITEMS: Final = 20


class Progress(Protocol):
    """Listens to an execution between ``__enter__`` and ``__exit__``."""

    def learn(self, event: Event, name: str = "") -> None:
        """Take in what happened before, without a word."""

    def event(self, event: Event, name: str = "") -> None: ...

    def output(self, node: str, stream: str, text: str) -> None: ...

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(slots=True)
class ItemCount:
    """The items of a map in numbers, as their events come."""

    total: int
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    running: set[str] = field(default_factory=set)
    retrying: set[str] = field(default_factory=set)
    told: int = 0

    def __str__(self) -> str:
        parts = [f"{self.succeeded:,} of {self.total:,}"]
        counts = {"failed": self.failed, "running": len(self.running), "retrying": len(self.retrying)}
        return ", ".join([*parts, *(f"{count:,} {what}" for what, count in counts.items() if count)])

    def starts(self, item: str) -> None:
        """An attempt of an item began."""
        self.running.add(item)
        self.retrying.discard(item)

    def tries_again(self, item: str) -> None:
        """An attempt ended, and it was not the last."""
        self.running.discard(item)
        self.retrying.add(item)

    def ends(self, item: str) -> None:
        """An item ended."""
        self.running.discard(item)
        self.retrying.discard(item)

    def is_news(self) -> bool:
        """Whether another tenth of the items has ended since the last yes."""
        tenths = 10 * (self.succeeded + self.failed) // max(self.total, 1)
        news, self.told = tenths > self.told, max(tenths, self.told)
        return news


class Maps:
    """The maps of an execution, and what their items have come to."""

    def __init__(self) -> None:
        self.counts: dict[str, ItemCount] = {}

    def around(self, path: str) -> str:
        """The map that the node at ``path`` is an item of, or lies in an item of; empty where there is none."""
        parent = path.rpartition("/")[0]
        while parent:
            if parent in self.counts:
                return parent
            parent = parent.rpartition("/")[0]
        return ""

    def count(self, event: Event) -> str:
        """Count what ``event`` says of a map's items; the path of that map, empty where it says nothing of any."""
        payload = event.payload
        match payload:
            case NodeExpanded(node=path, items=int(items)):
                self.counts[path] = ItemCount(items)
                return ""
            case ItemsStarted(node=path) | ItemsSucceeded(node=path) if path not in self.counts:
                return ""
            case ItemsStarted(node=path):
                for index, _ in payload.items:
                    self.counts[path].starts(f"{path}/{index}")
                return path
            case ItemsSucceeded(node=path):
                for index, _, _ in payload.items:
                    self.counts[path].ends(f"{path}/{index}")
                self.counts[path].succeeded += len(payload.items)
                return path
        node = getattr(payload, "node", None) or ""
        path = node.rpartition("/")[0]
        counts = self.counts.get(path)
        if counts is None:
            return ""
        match payload:
            case AttemptStarted() | NodeExpanded():
                counts.starts(node)
            case AttemptFailed() | AttemptLost():
                counts.tries_again(node)
            case NodeSucceeded() | NodeFailed() | NodeSkipped():
                counts.ends(node)
                counts.succeeded += isinstance(payload, NodeSucceeded)
                counts.failed += isinstance(payload, NodeFailed)
                counts.skipped += isinstance(payload, NodeSkipped)
        return path


def progress_of(tasks: Mapping[str, str], done: Collection[str] = (), look: Look | None = None) -> Progress:
    """The progress that suits standard error: live in a terminal, plain lines otherwise.

    Args:
        tasks: the full name of what each node runs, or its own, by the node's path. Nodes that come up in the run
            join them.
        done: nodes that have succeeded before, in a run that is resumed.
        look: tells why remote jobs wait.
    """
    names = {path: task.rpartition(".")[2] for path, task in tasks.items()}
    return LiveProgress(names, done, look) if sys.stderr.isatty() else PlainProgress(names, done)


def caught_up(progress: Progress, events: Iterable[Event]) -> None:
    """Let ``progress`` know what happened before it listened."""
    for event in events:
        progress.learn(event)


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
        self._maps = Maps()
        self._jobs = JobNotes()

    def __enter__(self) -> PlainProgress:
        if self._done:
            click.echo(f"{len(self._done)} of {len(self._names)} nodes had succeeded before", err=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put back."""

    def learn(self, event: Event, name: str = "") -> None:
        """Take in what happened before, without a word."""
        _learn(self._names, event, name)
        self._line(event)

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
            click.echo(f"{node} {self._name(node)} | {line}", err=True)

    def _name(self, node: str) -> str:
        return self._names.get(node, "") or self._names.get(self._maps.around(node), "")

    def _line(self, event: Event) -> str:
        payload = event.payload
        told = self._jobs.tell(event)
        if told is not None:
            node, said = told
            return f"{f'{node} {self._name(node)}'.strip()}: {said}" if said and not self._maps.around(node) else ""
        path = self._maps.count(event)
        if path:
            return self._item_line(event, path)
        inside = self._maps.around(getattr(payload, "node", None) or "")
        if inside and isinstance(payload, AttemptStarted | NodeExpanded | NodeSucceeded | NodeSkipped):
            return ""  # what lies deeper in an item is counted with it
        return self._node_line(event)

    def _item_line(self, event: Event, path: str) -> str:
        """Of a map's items only the steps are told, and failures while they are few."""
        counts = self._maps.counts[path]
        few = counts.failed + len(counts.retrying) <= FAILED_ITEMS
        if isinstance(event.payload, NodeFailed | AttemptFailed | AttemptLost) and few:
            return self._node_line(event)
        if not isinstance(event.payload, ItemsSucceeded | NodeSucceeded | NodeFailed) or self._maps.around(path):
            return ""
        return f"{path} {self._name(path)}: {counts}" if counts.is_news() else ""

    def _node_line(self, event: Event) -> str:
        payload = event.payload
        node = getattr(payload, "node", None) or ""
        label = f"{node} {self._name(node)}".strip()
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
            case NodeSucceeded(recovered=execution) if execution:
                return f"{label}: taken over from {execution}"
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
        return _said_of_the_whole(event)


def _said_of_the_whole(event: Event) -> str:
    """What an event says that belongs to no node."""
    match event.payload:
        case ExecutionPaused(reason=reason):
            return f"paused by {event.actor.name}{f': {reason}' if reason else ''}; what runs goes on"
        case ExecutionContinued():
            return f"{event.actor.name} let it go on"
        case AbortRequested(reason=reason):
            return f"{event.actor.name} asked for its end{f': {reason}' if reason else ''}"
        case DeadlinePassed(error=error):
            return error.message
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

    def __init__(self, names: dict[str, str], done: Collection[str] = (), look: Look | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._names = names
        self._status = {node: "succeeded" if node in done else "waiting" for node in names}
        self._note = dict.fromkeys(names, "")
        self._buffer = LineBuffer()
        self._maps = Maps()
        self._jobs = JobNotes(look)
        self._whole = ""
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
            self._console.print(Text(f"{self._names.get(node) or node} | {line}", style="dim"))

    def learn(self, event: Event, name: str = "") -> None:
        """Take in what happened before."""
        self.event(event, name)

    def event(self, event: Event, name: str = "") -> None:
        """Move a node's row."""
        payload = event.payload
        said = _said_of_the_whole(event)
        self._whole = said if not isinstance(payload, ExecutionContinued) and said else self._whole
        if isinstance(payload, ExecutionContinued):
            self._whole = ""
        told = self._jobs.tell(event)
        if told is not None:
            path, note = told
            if note and path not in self._maps.counts and not self._maps.around(path):
                self._set(path, "running", note)
            return
        if path := self._maps.count(event):
            self._set(path, "running", str(self._maps.counts[path]))
            return
        node = getattr(payload, "node", None) or ""
        if self._maps.around(node) and node not in self._status and not isinstance(payload, GateOpened):
            return  # what lies deeper in an item is counted with it
        _learn(self._names, event, name)
        match payload:
            case AttemptStarted():
                self._set(payload.node, "running", f"attempt {payload.attempt}" if payload.attempt > 1 else "")
                self._started.setdefault(payload.node, event.at)
            case NodeExpanded():
                self._set(payload.node, "running", f"{payload.items} items" if payload.items is not None else "")
                self._started.setdefault(payload.node, event.at)
            case CallStarted():
                path = f"{payload.node}/{payload.call}"
                self._names[path] = payload.callee.rpartition(".")[2]
                self._set(path, "running")
                self._started.setdefault(path, event.at)
            case GateOpened():
                self._set(payload.node, "paused", gate_note(event, payload))
                self._started.setdefault(payload.node, event.at)
            case NodeSucceeded():
                note = "cached" if payload.cached else f"from {payload.recovered}" if payload.recovered else ""
                self._set(payload.node, "succeeded", note or self._items_of(payload.node), event.at)
            case AttemptFailed() | AttemptLost():
                self._set(payload.node, "retrying", payload.error.message)
            case NodeFailed():
                self._set(payload.node, "failed", payload.error.message, event.at)
            case NodeSkipped():
                self._set(payload.node, "skipped", payload.reason, event.at)
            case DeckWritten():
                self._note[payload.node] = f"deck {payload.name!r}"

    def _items_of(self, node: str) -> str:
        return str(self._maps.counts[node]) if node in self._maps.counts else ""

    def _set(self, node: str, status: str, note: str = "", ended: float | None = None) -> None:
        self._names.setdefault(node, "")
        self._status[node] = status
        keeps_note = status == "succeeded" and self._note.get(node, "").startswith("deck")
        self._note[node] = note or (self._note[node] if keeps_note else "")
        if ended is not None:
            self._ended[node] = ended

    def _table(self) -> Any:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, show_header=False, padding=(0, 1))
        done = sum(status == "succeeded" for status in self._status.values())
        for node in self._shown():
            started = self._started.get(node)
            spent = "" if started is None else show_seconds(max(0.0, self._ended.get(node, time.time()) - started))
            said = self._jobs.waits(node) or self._note[node]
            note = escape(said.splitlines()[0][:120]) if said else ""
            table.add_row(self._MARKS[self._status[node]], node, self._names[node], spent, f"[dim]{note}[/]")
        table.add_row("", "", f"[bold]{done} of {len(self._status)} nodes[/]", "", escape(self._whole))
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
