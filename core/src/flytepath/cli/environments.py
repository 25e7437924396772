"""``flytepath environments``: the virtual environments of tasks on this machine, made ahead, listed and removed."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from flytepath import config
from flytepath.errors import FlytePathError, NotFoundError, UsageError

if TYPE_CHECKING:
    from flytepath.engine.environments import EnvironmentBuildError, Kept, Shelf
    from flytepath.model.task import TaskSpec

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_DAY = 86400.0
#: Of a digest so much is shown and, where nothing else begins so, understood.
_SHOWN = 12


@click.group()
def environments() -> None:
    """List, build and remove the environments of tasks."""


@environments.command("list")
@_JSON
def list_environments(as_json: bool) -> None:
    """Show the environments of this home, the one used last first."""
    found = _shelf().all()
    if as_json:
        click.echo(json.dumps([_facts(kept) for kept in found], indent=2))
        return
    if not found:
        click.echo("there are no environments: no task with an ImageSpec has been run or built here")
        return
    click.echo(f"{'DIGEST':{_SHOWN}}  {'STATE':8}  {'SIZE':>9}  {'LAST USED':25}  CONTENT")
    for kept in found:
        size = _megabytes(kept.size()) if kept.folder.exists() else "-"
        content = kept.card.asked if kept.card else f"see {_shelf().log(kept.digest)}"
        click.echo(f"{kept.digest[:_SHOWN]}  {kept.state:8}  {size:>9}  {_time(kept.used_at):25}  {content}")


@environments.command("build")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-p", "--project", default=None, help="The project that the tasks belong to.")
@click.option("-d", "--domain", default=None, help="The domain that the tasks belong to.")
@_JSON
def build(paths: tuple[str, ...], project: str | None, domain: str | None, as_json: bool) -> None:
    """Make the environments that the tasks of files, folders, packages or modules ask for, before they are needed.

    All are tried; exit status 1 where one cannot be made.
    """
    tasks = _tasks(paths, project, domain)
    rows, errors = asyncio.run(_built(tasks, quiet=as_json))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        if errors:
            sys.exit(1)
        return
    for row in rows:
        click.echo(f"{row['task']}  {row['python'] or 'no environment'}")
    if errors:
        first, *others = errors
        if others:
            first.hint = f"{first.hint or ''} ({len(others)} more could not be made)".strip()
        raise first


@environments.command("remove")
@click.argument("digests", nargs=-1, metavar="[DIGEST...]")
@click.option("--all", "everything", is_flag=True, help="All that are not in use.")
@click.option(
    "--unused-for",
    type=click.FloatRange(min=0),
    default=None,
    metavar="DAYS",
    help="All that nobody began to use for so many days.",
)
@_JSON
def remove(digests: tuple[str, ...], everything: bool, unused_for: float | None, as_json: bool) -> None:
    """Remove environments, by the beginnings of their digests or by rule. They are made again when they are needed."""
    from flytepath.engine.environments import EnvironmentInUseError

    if sum((bool(digests), everything, unused_for is not None)) != 1:
        raise UsageError("say which environments", expected="DIGEST..., or --all, or --unused-for DAYS")
    shelf = _shelf()
    removed, in_use = [], []
    for kept in _chosen(shelf.all(), digests, unused_for):
        try:
            shelf.remove(kept.digest)
        except EnvironmentInUseError:
            if digests:
                raise
            in_use.append(kept.digest)
        else:
            removed.append(kept.digest)
    if as_json:
        click.echo(json.dumps({"removed": removed, "in_use": in_use}, indent=2))
        return
    for digest in removed:
        click.echo(f"removed {digest[:_SHOWN]}")
    note = f", {len(in_use)} in use stay" if in_use else ""
    click.echo(f"{len(removed)} removed{note}")


def _shelf() -> Shelf:
    from flytepath.engine.environments import Shelf

    return Shelf.of(config.home())


def _chosen(found: Sequence[Kept], digests: Sequence[str], unused_for: float | None) -> list[Kept]:
    if unused_for is not None:
        until = time.time() - unused_for * _DAY
        return [kept for kept in found if (kept.used_at or 0.0) <= until]
    if not digests:
        return list(found)
    return [_one(found, digest) for digest in dict.fromkeys(digests)]


def _one(found: Sequence[Kept], digest: str) -> Kept:
    meant = [kept for kept in found if kept.digest.startswith(digest)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise UsageError(f"several environments begin with {digest!r}", actual=", ".join(kept.digest for kept in meant))
    raise NotFoundError(f"there is no environment {digest!r}", hint="`flytepath environments list` shows them")


def _tasks(paths: Sequence[str], project: str | None, domain: str | None) -> list[TaskSpec]:
    """Every task of what was named, as its nodes change it; alike ones once."""
    from flytepath.cli.constants import ConstantBlobs
    from flytepath.cli.gathering import gather
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    tenant = Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN)
    found: dict[str, TaskSpec] = {}
    for each in gather(paths, tenant, ConstantBlobs()):
        for task in (*_tasks_of(each.spec), *_tasks_of(each.graph)):
            found.setdefault(json.dumps([task.name, task.environment], sort_keys=True, default=str), task)
    return list(found.values())


def _tasks_of(spec: Any) -> Iterator[TaskSpec]:
    from flytepath.model.task import TaskSpec
    from flytepath.model.workflow import WorkflowSpec

    if isinstance(spec, TaskSpec):
        yield spec
    elif isinstance(spec, WorkflowSpec):
        yield from spec.tasks.values()
        for graph in (spec, *spec.graphs.values()):
            for node in (*graph.nodes, *([graph.on_failure] if graph.on_failure else [])):
                if node.overrides is not None and node.overrides.environment is not None and node.task:
                    yield node.task_of(spec.tasks)


async def _built(tasks: Sequence[TaskSpec], *, quiet: bool) -> tuple[list[dict[str, Any]], list[FlytePathError]]:
    from flytepath.engine.environments import EnvironmentBuildError, Environments

    def tell(line: str) -> None:
        click.echo(line, err=True)

    made = Environments(config.home(), log=(lambda _line: None) if quiet else tell)
    rows: list[dict[str, Any]] = []
    errors: list[EnvironmentBuildError] = []
    try:
        for task in tasks:
            row: dict[str, Any] = {"task": task.name, "python": None}
            try:
                python = await made.python_of(task)
            except EnvironmentBuildError as error:
                row["error"] = error.to_json()
                if all(str(error) != str(other) for other in errors):
                    errors.append(error)
            else:
                row["python"] = python
                row["own"] = python != sys.executable
            rows.append(row)
    finally:
        await made.close()
    return rows, list(errors)


def _facts(kept: Kept) -> dict[str, Any]:
    facts: dict[str, Any] = {"digest": kept.digest, "state": kept.state, "folder": str(kept.folder)}
    facts |= {"used_at": kept.used_at, "bytes": kept.size()}
    if kept.card is not None:
        card = kept.card
        facts |= {"asked": card.asked, "python": card.python, "flytepath": card.flytepath, "tool": card.tool}
        facts |= {"packages": card.packages, "created_at": card.created_at, "seconds": card.seconds}
    return facts


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _time(at: float | None) -> str:
    from flytepath.cli.display import show_time

    return show_time(at)
