"""``flytepath launchplans``: read back what was registered, and turn it on and off."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import click

from flytepath import config
from flytepath.cli.display import show_literal, show_time

if TYPE_CHECKING:
    from flytepath.client import Scope
    from flytepath.client.plans import PlanView
    from flytepath.store.activations import Activation


@click.group(invoke_without_command=True)
@click.pass_context
def launchplans(ctx: click.Context) -> None:
    """List, show, activate and deactivate registered launch plans."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_plans)


project_option = click.option("-p", "--project", default=None, help="Of this project.")
domain_option = click.option("-d", "--domain", default=None, help="Of this domain.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def scope_of(project: str | None, domain: str | None) -> Scope:
    """Who asks, for the project and domain that were typed."""
    from flytepath.client import Scope
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    return Scope.of_this_user(Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN))


@launchplans.command("list")
@project_option
@domain_option
@json_option
def list_plans(project: str | None = None, domain: str | None = None, as_json: bool = False) -> None:
    """Every launch plan: the version that is active, or else the latest, and when it runs next."""
    from flytepath.client.plans import open_plans

    with open_plans(config.home()) as plans:
        found = plans.list(scope_of(project, domain))
    if as_json:
        click.echo(json.dumps([_json_of(view) for view in found], indent=2))
        return
    if not found:
        click.echo("no launch plans; register some with: flytepath register PATH...", err=True)
        return
    width = max(len(view.registered.spec.name) for view in found)
    for view in found:
        spec = view.registered.spec
        state = "active" if view.is_active else "-"
        following = f"next {show_time(view.next_runs[0])}" if view.next_runs else view.problem
        click.echo(
            f"{spec.name:{width}}  {view.registered.identity.version:16}  {state:6}  {spec.workflow}"
            f"  {show_schedule(spec.schedule)}  {following}".rstrip()
        )


@launchplans.command()
@click.argument("name")
@click.option("--version", default=None, help="Which one; by default the active one, or else the latest.")
@project_option
@domain_option
@json_option
def show(name: str, version: str | None, project: str | None, domain: str | None, as_json: bool) -> None:
    """One launch plan: its workflow, inputs, schedule and settings, what is active, and the next runs."""
    from flytepath.client.plans import open_plans

    with open_plans(config.home()) as plans:
        view = plans.show(scope_of(project, domain), name, version)
    if as_json:
        click.echo(json.dumps(_json_of(view), indent=2))
        return
    plan = view.registered
    spec = plan.spec
    click.echo(f"launch plan {plan.identity}")
    click.echo(f"workflow    {spec.workflow}")
    click.echo(f"registered  {show_time(plan.registered_at)}")
    if view.active is None:
        click.echo("active      no")
    else:
        since = f"since {show_time(view.active.at)}, by {view.active.principal}"
        click.echo(f"active      {'yes' if view.is_active else f'no, but {view.active.version} is'}, {since}")
    if view.latest != plan.identity.version:
        click.echo(f"latest      {view.latest}")
    if spec.documentation:
        click.echo(f"says        {spec.documentation.splitlines()[0]}")
    for variable in spec.interface.inputs:
        default = f" = {show_literal(variable.default)}" if variable.default is not None else ""
        click.echo(f"input       {variable.name}: {variable.type}{default}")
    for key, literal in spec.fixed.items():
        click.echo(f"fixed       {key} = {show_literal(literal)}")
    if spec.schedule:
        click.echo(f"schedule    {show_schedule(spec.schedule)}")
    for moment in view.next_runs:
        click.echo(f"next run    {show_time(moment)}")
    if view.problem:
        click.echo(f"problem     {view.problem}")
    for each in spec.notifications:
        click.echo(f"notifies    {json.dumps(each, ensure_ascii=False)}")
    for title, settings in (("label", spec.labels), ("annotation", spec.annotations)):
        for key, value in settings.items():
            click.echo(f"{title:11} {key}={value}")


@launchplans.command()
@click.argument("name")
@click.argument("version", required=False)
@project_option
@domain_option
@json_option
def activate(name: str, version: str | None, project: str | None, domain: str | None, as_json: bool) -> None:
    """Make VERSION of launch plan NAME the active one; without VERSION, the latest. Its schedule begins now."""
    from flytepath.client.plans import open_plans

    with open_plans(config.home()) as plans:
        tell(plans.activate(scope_of(project, domain), name, version), as_json=as_json)


@launchplans.command()
@click.argument("name")
@project_option
@domain_option
@json_option
def deactivate(name: str, project: str | None, domain: str | None, as_json: bool) -> None:
    """Make no version of launch plan NAME active: its schedule starts nothing more."""
    from flytepath.client.plans import open_plans

    with open_plans(config.home()) as plans:
        tell(plans.deactivate(scope_of(project, domain), name), as_json=as_json)


def tell(change: Activation, *, as_json: bool) -> None:
    """Say what is active of a launch plan after a change."""
    if as_json:
        click.echo(json.dumps({**json_of_change(change), "changed": change.is_new}, indent=2))
        return
    state = f"{change.name}@{change.version} is active" if change.version else f"no version of {change.name} is active"
    already = "" if change.is_new else f", since {show_time(change.at)} by {change.principal} already"
    click.echo(f"{state}{already}")


def json_of_change(change: Activation) -> dict[str, Any]:
    """A change of what is active, as data."""
    return {
        "name": change.name,
        "number": change.number,
        "version": change.version,
        "principal": change.principal,
        "at": change.at,
    }


def _json_of(view: PlanView) -> dict[str, Any]:
    return {
        "identity": str(view.registered.identity),
        "registered_at": view.registered.registered_at,
        **view.registered.spec.model_dump(mode="json"),
        "latest": view.latest,
        "active": None if view.active is None else json_of_change(view.active),
        "next_runs": [dt.datetime.fromtimestamp(moment, dt.UTC).isoformat() for moment in view.next_runs],
        "problem": view.problem or None,
    }


def show_schedule(schedule: dict[str, Any] | None) -> str:
    """When a launch plan is to run, in a few words.

    Example:
        >>> show_schedule({"kind": "cron", "schedule": "0 3 * * *", "timezone": "Asia/Tokyo"})
        'cron(schedule=0 3 * * *, timezone=Asia/Tokyo)'
    """
    if not schedule:
        return ""
    facts = ", ".join(f"{key}={value}" for key, value in schedule.items() if key != "kind" and value is not None)
    return f"{schedule.get('kind', 'schedule')}({facts})"
