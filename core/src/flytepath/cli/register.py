"""``flytepath register``: keep everything that files, packages or an archive define, under one version."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flytepath import config
from flytepath.errors import UsageError

if TYPE_CHECKING:
    from flytepath.cli.gathering import Compiled
    from flytepath.client import LocalClient, Scope

_ARCHIVES = (".tgz", ".tar.gz")


@dataclass(frozen=True, slots=True)
class _Row:
    compiled: Compiled
    state: str


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--version", default=None, help="The version; by default a digest of all code and specs.")
@click.option("-p", "--project", default=None, help="The project they belong to.")
@click.option("-d", "--domain", default=None, help="The domain they belong to.")
@click.option("--dry-run", is_flag=True, help="Say what would be registered, and keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def register(
    paths: tuple[str, ...], version: str | None, project: str | None, domain: str | None, dry_run: bool, as_json: bool
) -> None:
    """Register all tasks, workflows and launch plans of files, folders, packages, modules, or one archive.

    Either all of them are registered or, where anything is broken, none. A registered version never changes.
    """
    from flytepath.client import LocalClient, Scope
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    tenant = Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN)
    scope = Scope.of_this_user(tenant)
    with LocalClient(config.home()) as client:
        compiled, version = _compiled(client, scope, paths, version)
        rows = [_Row(each, _state(client, scope, each, version)) for each in compiled]
        _refuse_changes(rows, version, scope)
        if not dry_run:
            for row in rows:
                _register(client, scope, row.compiled, version)
    activated = [] if dry_run else _activate(rows, version, scope)
    _show(rows, version, scope, activated, dry_run=dry_run, as_json=as_json)


def _compiled(
    client: LocalClient, scope: Scope, paths: Sequence[str], version: str | None
) -> tuple[list[Compiled], str]:
    from flytepath.cli.archive import read_archive
    from flytepath.cli.gathering import gather, version_of

    blobs = client.blobs(scope)
    archives = [path for path in paths if path.endswith(_ARCHIVES)]
    if not archives:
        compiled = gather(paths, scope.tenant, blobs, client.referred)
        return compiled, checked_version(version) or version_of(compiled)
    if len(paths) > 1:
        raise UsageError("an archive is registered alone", place=archives[0], actual=", ".join(paths))
    compiled, packaged = read_archive(Path(archives[0]), blobs)
    return compiled, checked_version(version) or packaged


def checked_version(version: str | None) -> str | None:
    """A version that can stand in an identity; raises ``UsageError`` where it cannot."""
    if version is not None and (not version.strip() or version == "latest" or set(version) & set("@/ \t\n")):
        raise UsageError(
            f"{version!r} cannot be a version", place="--version", expected="a word without '@', '/' and blanks"
        )
    return version


def _state(client: LocalClient, scope: Scope, each: Compiled, version: str) -> str:
    """Whether it is ``new``, ``unchanged``, or registered with ``other content``."""
    from flytepath.cli.gathering import spec_json
    from flytepath.errors import NotFoundError

    try:
        known = client.fetch(scope, each.kind, each.name, version)
    except NotFoundError:
        return "new"
    same = spec_json(known.spec) == spec_json(each.spec) and known.bundle == each.bundle.digest
    return "unchanged" if same else "other content"


def _refuse_changes(rows: Sequence[_Row], version: str, scope: Scope) -> None:
    from flytepath.store.registry import VersionConflictError

    changed = [row.compiled for row in rows if row.state == "other content"]
    if changed:
        names = ", ".join(f"{each.kind.replace('_', ' ')} {each.name}" for each in changed)
        raise VersionConflictError(
            f"version {version} is registered already, with other content; nothing is registered",
            place=f"{scope.tenant}",
            actual=names,
            hint="choose a new version, or leave --version away: a registered one never changes",
        )


def _register(client: LocalClient, scope: Scope, each: Compiled, version: str) -> None:
    spec: Any = each.spec
    if each.kind == "task":
        client.register_task(scope, spec, each.bundle, version)
    elif each.graph is not None:
        client.register_launch_plan(scope, spec, each.graph, each.bundle, version)
    else:
        client.register(scope, spec, each.bundle, version)


def _activate(rows: Sequence[_Row], version: str, scope: Scope) -> list[str]:
    """Make the launch plans active whose author asked for it, and say which were not yet."""
    from flytepath.client.plans import open_plans

    names = [row.compiled.name for row in rows if getattr(row.compiled.spec, "auto_activate", False)]
    if not names:
        return []
    with open_plans(config.home()) as plans:
        return [name for name in names if plans.activate_new(scope, name, version) is not None]


def _show(
    rows: Sequence[_Row], version: str, scope: Scope, activated: Sequence[str], *, dry_run: bool, as_json: bool
) -> None:
    tenant = scope.tenant
    if as_json:
        listed = [
            {
                "kind": row.compiled.kind,
                "name": row.compiled.name,
                "version": version,
                "state": row.state,
                "activated": row.compiled.kind == "launch_plan" and row.compiled.name in activated,
            }
            for row in rows
        ]
        answer = {"project": tenant.project, "domain": tenant.domain, "version": version, "dry_run": dry_run}
        click.echo(json.dumps({**answer, "entities": listed}, indent=2))
        return
    width = max(len(row.compiled.name) for row in rows)
    for row in rows:
        is_activated = row.compiled.kind == "launch_plan" and row.compiled.name in activated
        state = f"{row.state}, active now" if is_activated else row.state
        click.echo(f"{row.compiled.kind.replace('_', ' '):11} {row.compiled.name:{width}}  {state}")
    new = sum(row.state == "new" for row in rows)
    done = "would be registered" if dry_run else "registered"
    click.echo(f"{new} {done}, {len(rows) - new} unchanged, in {tenant} as version {version}")
