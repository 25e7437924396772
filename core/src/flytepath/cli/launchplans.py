"""``flytepath launchplans``: read back what was registered."""

from __future__ import annotations

import json
from typing import Any

import click

from flytepath import config
from flytepath.cli.display import show_literal, show_time


@click.group(invoke_without_command=True)
@click.pass_context
def launchplans(ctx: click.Context) -> None:
    """List and show registered launch plans."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plans)


_project = click.option("-p", "--project", default=None, help="Of this project.")
_domain = click.option("-d", "--domain", default=None, help="Of this domain.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _scope(project: str | None, domain: str | None) -> Any:
    from flytepath.client import Scope
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    return Scope.of_this_user(Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN))


@launchplans.command("list")
@_project
@_domain
@_json
def list_plans(project: str | None = None, domain: str | None = None, as_json: bool = False) -> None:
    """The latest version of every launch plan."""
    from flytepath.client import LocalClient

    with LocalClient(config.home()) as client:
        found = client.launch_plans(_scope(project, domain))
    if as_json:
        click.echo(json.dumps([_json_of(plan) for plan in found], indent=2))
        return
    if not found:
        click.echo("no launch plans; register some with: flytepath register PATH...", err=True)
        return
    width = max(len(plan.spec.name) for plan in found)
    for plan in found:
        click.echo(
            f"{plan.spec.name:{width}}  {plan.identity.version:16}  {plan.spec.workflow}"
            f"  {show_schedule(plan.spec.schedule)}".rstrip()
        )


@launchplans.command()
@click.argument("name")
@click.option("--version", default="latest", show_default=True, help="Which one.")
@_project
@_domain
@_json
def show(name: str, version: str, project: str | None, domain: str | None, as_json: bool) -> None:
    """One launch plan: its workflow, inputs, schedule and settings."""
    from flytepath.client import LocalClient

    with LocalClient(config.home()) as client:
        plan: Any = client.fetch(_scope(project, domain), "launch_plan", name, version)
    if as_json:
        click.echo(json.dumps(_json_of(plan), indent=2))
        return
    spec = plan.spec
    click.echo(f"launch plan {plan.identity}")
    click.echo(f"workflow    {spec.workflow}")
    click.echo(f"registered  {show_time(plan.registered_at)}")
    if spec.documentation:
        click.echo(f"says        {spec.documentation.splitlines()[0]}")
    for variable in spec.interface.inputs:
        default = f" = {show_literal(variable.default)}" if variable.default is not None else ""
        click.echo(f"input       {variable.name}: {variable.type}{default}")
    for key, literal in spec.fixed.items():
        click.echo(f"fixed       {key} = {show_literal(literal)}")
    if spec.schedule:
        click.echo(f"schedule    {show_schedule(spec.schedule)}")
    for each in spec.notifications:
        click.echo(f"notifies    {json.dumps(each, ensure_ascii=False)}")
    for title, settings in (("label", spec.labels), ("annotation", spec.annotations)):
        for key, value in settings.items():
            click.echo(f"{title:11} {key}={value}")


def _json_of(plan: Any) -> dict[str, Any]:
    return {
        "identity": str(plan.identity),
        "registered_at": plan.registered_at,
        **plan.spec.model_dump(mode="json"),
    }


def show_schedule(schedule: dict[str, Any] | None) -> str:
    """When a launch plan is to run, in a few words.

    Example:
        >>> show_schedule({"kind": "CronSchedule", "schedule": "0 3 * * *"})
        'CronSchedule(schedule=0 3 * * *)'
    """
    if not schedule:
        return ""
    facts = ", ".join(f"{key}={value}" for key, value in schedule.items() if key != "kind" and value is not None)
    return f"{schedule.get('kind', 'schedule')}({facts})"
