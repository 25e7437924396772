"""``flytepath executions relaunch``: the same version again, with inputs changed or not."""

from __future__ import annotations

import click

from flytepath import config
from flytepath.cli.command_with_inputs import CommandWithInputs
from flytepath.cli.executions.driving import scope_of, started_again


@click.command("relaunch", cls=CommandWithInputs)
@click.argument("execution", metavar="ID")
@click.option("--name", default=None, help="The id of the new execution, instead of one that is made up.")
@click.option("--detach", is_flag=True, help="Only ask for it: print the new id and leave the run to an engine.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def relaunch(ctx: click.Context, execution: str, name: str | None, detach: bool, as_json: bool) -> None:
    """Run the same version of a workflow again. Inputs follow ID as --INPUT VALUE; those not given stay as they were.

    Options stand before ID; after it, a name that both have is the input's. ID --help shows the inputs.
    """
    from flytepath.cli.executions.changed_inputs import read_changes, split
    from flytepath.client import LocalClient, Scope

    command: CommandWithInputs = ctx.command  # type: ignore[assignment]
    own = {option: value for option, value in command.own_options(ctx).items() if option != "-h"}
    with LocalClient(config.home()) as client:
        scope = scope_of(client, execution)
        spec = client.follow(Scope.of_this_user(), execution).state.spec
        typed = split(spec, ctx.obj["tail"], own)
        if "--help" in typed.own:
            click.echo(ctx.get_help())
            for variable in spec.interface.inputs:
                click.echo(f"  --{variable.name}  {variable.type}")
            return
        if typed.own:
            again = command.make_context(ctx.info_name, [*typed.own, *ctx.obj["head"]], parent=ctx.parent)
            name, detach, as_json = (again.params[key] for key in ("name", "detach", "as_json"))
        changes = read_changes(spec, typed.texts, client.blobs(scope))
        started = client.relaunch(scope, execution, changes, name=name)
        started_again(client, scope, started, f"repeats {execution}", detach=detach, as_json=as_json)
