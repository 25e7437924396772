"""``flytepath execute``: run a registered version from its stored code, wherever its source has gone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from flytepath import config
from flytepath.cli.command_with_inputs import CommandWithInputs
from flytepath.errors import NotFoundError

if TYPE_CHECKING:
    from flytepath.client import LocalClient, Registered, Scope
    from flytepath.client.protocol import Kind


@click.command("execute", cls=CommandWithInputs)
@click.argument("name", metavar="NAME")
@click.option("--version", default=None, help="The version; the latest by default, of a launch plan the active one.")
@click.option("-p", "--project", default=None, help="The project it is registered in.")
@click.option("-d", "--domain", default=None, help="The domain it is registered in.")
@click.option("--name", "execution", default=None, help="The execution's id, instead of one that is made up.")
@click.option("--overwrite-cache", is_flag=True, help="Compute everything anew, and keep that.")
@click.option("--timeout", default=0.0, type=click.FloatRange(min=0), help="Seconds that the whole may take.")
@click.option("--detach", is_flag=True, help="Only begin it and print its id: an engine that runs takes it up.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def execute(ctx: click.Context, /, name: str, **own: Any) -> None:
    """Run a registered workflow or launch plan NAME, from the code it was registered with. Nothing is imported here.

    Inputs follow NAME as --INPUT VALUE. Options stand before NAME; after it, a name that both have is the input's.
    NAME --help shows the inputs.
    """
    from flytepath.cli.executions import follow
    from flytepath.cli.executions.changed_inputs import read_changes, split
    from flytepath.client import LocalClient
    from flytepath.client.commands import with_defaults

    command: CommandWithInputs = ctx.command  # type: ignore[assignment]
    options = {option: takes for option, takes in command.own_options(ctx).items() if option != "-h"}
    with LocalClient(config.home()) as client:
        scope, kind, entity = _registered(client, name, own)
        typed = split(entity.spec, ctx.obj["tail"], options)
        if "--help" in typed.own:
            click.echo(ctx.get_help())
            for variable in entity.spec.interface.inputs:
                click.echo(f"  --{variable.name}  {variable.type}")
            return
        if typed.own:  # options after NAME may choose another version, which has inputs of its own
            again = command.make_context(ctx.info_name, [*typed.own, *ctx.obj["head"]], parent=ctx.parent)
            own = dict(again.params)
            scope, kind, entity = _registered(client, name, own)
            typed = split(entity.spec, ctx.obj["tail"], options)
        given = read_changes(entity.spec, typed.texts, client.blobs(scope))
        started = client.begin(
            scope,
            entity.identity,
            with_defaults(entity.spec.interface, given, name),
            kind=kind,
            name=own["execution"],
            overwrite_cache=own["overwrite_cache"],
            timeout_seconds=own["timeout"],
        )
        if own["detach"]:
            click.echo(json.dumps({"id": started.execution}) if own["as_json"] else started.execution)
            return
        if not own["as_json"]:
            click.echo(f"execution {started.execution} of {entity.identity}", err=True)
        nodes = client.execution(scope, started.execution).nodes
        tasks = {node.path: node.task for node in nodes}
        follow(client, scope, started.execution, tasks, as_json=own["as_json"])


def _registered(client: LocalClient, name: str, own: Mapping[str, Any]) -> tuple[Scope, Kind, Registered[Any]]:
    from flytepath.client import Scope
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    scope = Scope.of_this_user(Tenant(own["project"] or DEFAULT_PROJECT, own["domain"] or DEFAULT_DOMAIN))
    found = client.registered(scope, name, own["version"])
    if found is None:
        at = f"{name}@{own['version']}" if own["version"] else name
        raise NotFoundError(
            f"there is no workflow or launch plan {at!r} in {scope.tenant}",
            place=name,
            hint="`flytepath register` keeps one; `flytepath run` runs a file",
        )
    kind, entity = found
    return scope, kind, entity
