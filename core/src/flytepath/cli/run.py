"""``flytepath run``: compile, register, and drive an execution to its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from flytepath import config
from flytepath.errors import InputError, UsageError


class _RunCommand(click.Command):
    """Takes ``--NAME VALUE`` for each input of the workflow, whatever it is called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ensure_object(dict)
        if len([a for a in args if not a.startswith("-")]) >= 2 and {"-h", "--help"} & set(args):
            ctx.obj["help"] = True
            args = [a for a in args if a not in ("-h", "--help")]
        return super().parse_args(ctx, args)


@click.command(
    cls=_RunCommand,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": True},
)
@click.argument("source", metavar="FILE|MODULE")
@click.argument("name", required=False)
@click.option("--project", default=None, help="The project it runs in.")
@click.option("--domain", default=None, help="The domain it runs in.")
@click.option("--inputs-file", type=click.Path(path_type=Path), help="A JSON file with inputs by name.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.argument("inputs", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def run(
    ctx: click.Context,
    source: str,
    name: str | None,
    project: str | None,
    domain: str | None,
    inputs_file: Path | None,
    as_json: bool,
    inputs: tuple[str, ...],
) -> None:
    """Run workflow or task NAME of a Python file or module, durably, and print its outputs.

    Inputs follow as --NAME VALUE, typed as the workflow declares them. Without NAME, list what can be run;
    NAME --help shows its inputs.
    """
    from flytepath.cli.loading import load

    if name is not None and name.startswith("-"):
        raise UsageError(f"unexpected option {name!r}", expected="flytepath run FILE NAME --input value")
    loaded = load(source)
    if name is None:
        _list_runnable(loaded)
        return
    workflow = loaded.find(name)
    if ctx.obj.get("help"):
        _show_inputs(source, name, workflow)
        return
    _run(loaded, workflow, _parse_options(inputs, workflow), inputs_file, project, domain, as_json)


def _parse_options(arguments: tuple[str, ...], workflow: Any) -> dict[str, str]:
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--") or option == "--":
            raise InputError(
                f"unexpected argument {option!r}",
                place=workflow.name,
                expected="inputs as --NAME VALUE: " + (", ".join(f"--{n}" for n in workflow.inputs) or "it takes none"),
            )
        name, equals, value = option[2:].partition("=")
        key = name if name in workflow.inputs else name.replace("-", "_")
        if not equals:
            if not rest:
                raise InputError(f"--{name} needs a value", place=f"{workflow.name}({key})")
            value = rest.pop(0)
        if key in given:
            raise InputError(f"--{name} is given twice", place=f"{workflow.name}({key})")
        given[key] = value
    return given


def _run(
    loaded: Any,
    workflow: Any,
    texts: dict[str, str],
    inputs_file: Path | None,
    project: str | None,
    domain: str | None,
    as_json: bool,
) -> None:
    from flytepath.bundle import collect
    from flytepath.cli.executions import follow
    from flytepath.client import LocalClient, Scope
    from flytepath.compiler import compile_entity, parse_inputs
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    tenant = Tenant(project or DEFAULT_PROJECT, domain or DEFAULT_DOMAIN)
    scope = Scope.of_this_user(tenant)
    natives = _read_inputs_file(inputs_file, workflow)
    _ = getattr(workflow, "graph", None)  # what is wrong with it is said before anything is made on disk
    with LocalClient(config.home()) as client:
        blobs = client.blobs(scope)
        literals = parse_inputs(workflow, texts, natives, blobs)
        spec = compile_entity(workflow, tenant, blobs)
        identity = client.register(scope, spec, collect(loaded.file, loaded.root))
        execution = client.create_execution(scope, identity, literals)
        if not as_json:
            click.echo(f"execution {execution} of {identity}", err=True)
        follow(client, scope, execution, {node.path: node.task for node in spec.nodes}, as_json=as_json)


def _read_inputs_file(path: Path | None, workflow: Any) -> dict[str, Any]:
    if path is None:
        return {}
    from flytepath.types.text import parse_json

    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError("the inputs file cannot be read", place=str(path), actual=str(error)) from error
    except ValueError as error:
        raise InputError("the inputs file is not JSON", place=str(path), actual=str(error)) from error
    if not isinstance(data, dict):
        raise InputError("the inputs file holds no object", place=str(path), expected='{"input": value, ...}')
    known = {name: value for name, value in data.items() if name in workflow.inputs}
    unknown = {name: value for name, value in data.items() if name not in workflow.inputs}
    return {name: parse_json(workflow.inputs[name], value) for name, value in known.items()} | unknown


def _list_runnable(loaded: Any) -> None:
    from flytepath.authoring.workflow import PythonFunctionWorkflow

    found = loaded.runnable()
    if not found:
        raise UsageError("there is nothing to run", place=str(loaded.file), expected="at least one @workflow or @task")
    for name, item in sorted(
        found.items(), key=lambda pair: (not isinstance(pair[1], PythonFunctionWorkflow), pair[0])
    ):
        kind = "workflow" if isinstance(item, PythonFunctionWorkflow) else "task"
        summary = (item.__doc__ or "").strip().partition("\n")[0]
        click.echo(f"{kind:9} {name:24} {summary}".rstrip())


def _show_inputs(source: str, name: str, workflow: Any) -> None:
    from flytepath.authoring.signature import REQUIRED

    click.echo(f"Usage: flytepath run {source} {name} [--INPUT VALUE]...\n")
    if workflow.__doc__:
        click.echo(f"  {workflow.__doc__.strip()}\n")
    click.echo("Inputs:" if workflow.inputs else "It takes no inputs.")
    for key, codec in workflow.input_codecs.items():
        default = workflow.defaults.get(key, REQUIRED)
        note = "required" if default is REQUIRED else f"default {default!r}"
        click.echo(f"  --{key:20} {codec.literal_type}  ({note})")
    click.echo("Outputs:" if workflow.outputs else "It has no outputs.")
    for key, codec in workflow.output_codecs.items():
        click.echo(f"  {key:22} {codec.literal_type}")
