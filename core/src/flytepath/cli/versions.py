"""``flytepath versions``: what is registered under a name, what is active of it, and the way back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from flytepath import config
from flytepath.cli.display import show_time
from flytepath.cli.launchplans import domain_option, json_of_change, json_option, project_option, scope_of, tell
from flytepath.errors import UsageError

if TYPE_CHECKING:
    from flytepath.client.protocol import Kind


@click.group()
def versions() -> None:
    """List versions; activate and roll back those of launch plans."""


@versions.command("list")
@click.argument("words", nargs=-1, required=True, metavar="[KIND] NAME")
@project_option
@domain_option
@json_option
def list_versions(words: tuple[str, ...], project: str | None, domain: str | None, as_json: bool) -> None:
    """The versions of NAME, the latest first; KIND is workflow, launch_plan or task, by default whatever has the name.

    The active version of a launch plan is marked with a star.
    """
    from flytepath.client.plans import open_plans

    if len(words) > 2:
        raise UsageError("one name at a time", expected="[KIND] NAME", actual=" ".join(words))
    kind = _kind(words[0]) if len(words) == 2 else None
    with open_plans(config.home()) as plans:
        found = plans.versions(scope_of(project, domain), words[-1], kind)
    if as_json:
        rows = [
            {
                "kind": view.kind,
                "identity": str(view.identity),
                "version": view.identity.version,
                "registered_at": view.registered_at,
                "principal": view.principal,
                "spec": view.spec,
                "code": view.bundle,
                "active": view.is_active,
            }
            for view in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(len(view.identity.version) for view in found)
    who = max(len(view.principal) for view in found)
    for view in found:
        mark = "*" if view.is_active else " "
        click.echo(
            f"{mark} {view.kind.replace('_', ' '):11}  {view.identity.version:{width}}  {show_time(view.registered_at)}"
            f"  {view.principal:{who}}  code {view.bundle.removeprefix('sha256:')[:12]}"
        )


@versions.command()
@click.argument("name")
@project_option
@domain_option
@json_option
def history(name: str, project: str | None, domain: str | None, as_json: bool) -> None:
    """What was active of launch plan NAME, since when and by whom, the latest first."""
    from flytepath.client.plans import open_plans

    with open_plans(config.home()) as plans:
        found = plans.history(scope_of(project, domain), name)
    if as_json:
        click.echo(json.dumps([json_of_change(change) for change in found], indent=2))
        return
    if not found:
        click.echo(f"no version of {name} was ever active", err=True)
        return
    width = max(len(change.version or "-") for change in found)
    for change in found:
        click.echo(f"{change.number:4}  {change.version or '-':{width}}  {show_time(change.at)}  {change.principal}")


@versions.command()
@click.argument("name")
@click.argument("version")
@project_option
@domain_option
@json_option
def activate(name: str, version: str, project: str | None, domain: str | None, as_json: bool) -> None:
    """Make VERSION of launch plan NAME the active one. Its schedule begins now."""
    from flytepath.client.plans import open_plans

    with open_plans(config.home()) as plans:
        tell(plans.activate(scope_of(project, domain), name, version), as_json=as_json)


@versions.command()
@click.argument("name")
@click.option("--to", default=None, metavar="VERSION", help="Make this version active, not the one before.")
@project_option
@domain_option
@json_option
def rollback(name: str, to: str | None, project: str | None, domain: str | None, as_json: bool) -> None:
    """Make active what was active of launch plan NAME before. The history only grows: this can be undone too."""
    from flytepath.client.plans import open_plans

    with open_plans(config.home()) as plans:
        tell(plans.roll_back(scope_of(project, domain), name, to), as_json=as_json)


def _kind(word: str) -> Kind:
    from flytepath.client.plans import KINDS

    for kind in KINDS:
        if word.lower().replace("-", "_") in (kind, f"{kind}s", kind.replace("_", "")):
            return kind
    raise UsageError(f"there is no kind {word!r}", expected=", ".join(KINDS), actual=word)
