"""``flytepath run``: compile, register, and drive an execution to its end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from flytepath import config
from flytepath.cli.command_with_inputs import CommandOfEntity, completed
from flytepath.errors import UsageError


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How something is run, beside its inputs."""

    project: str | None
    domain: str | None
    inputs_file: Path | None
    name: str | None
    env: Sequence[str]
    labels: Sequence[str]
    annotations: Sequence[str]
    overwrite_cache: bool
    in_process: bool
    detach: bool
    timeout: float
    as_json: bool


@click.command(cls=CommandOfEntity)
@click.argument("source", metavar="FILE|MODULE", shell_complete=completed("source"))
@click.argument("name", required=False, shell_complete=completed("name"))
@click.option("-p", "--project", default=None, help="The project it runs in.")
@click.option("-d", "--domain", default=None, help="The domain it runs in.")
@click.option("--inputs-file", type=click.Path(path_type=Path), help="A JSON or YAML file with inputs by name.")
@click.option("--name", "execution", default=None, help="The execution's id, instead of one that is made up.")
@click.option("--env", multiple=True, metavar="KEY=VALUE", help="An environment variable of its tasks; repeatable.")
@click.option("-l", "--label", multiple=True, metavar="KEY=VALUE", help="A label of the execution; repeatable.")
@click.option("--annotation", multiple=True, metavar="KEY=VALUE", help="An annotation of the execution; repeatable.")
@click.option("--overwrite-cache", is_flag=True, help="Compute everything anew, and keep that.")
@click.option("--in-process", is_flag=True, help="Run tasks in this process, one at a time: for debuggers.")
@click.option("--detach", is_flag=True, help="Only begin it and print its id: an engine that runs takes it up.")
@click.option("--timeout", default=0.0, type=click.FloatRange(min=0), help="Seconds that the whole may take.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def run(ctx: click.Context, /, source: str, name: str | None, **own: Any) -> None:
    """Run workflow, task or launch plan NAME of a Python file or module, durably, and print its outputs.

    Inputs follow as --INPUT VALUE, typed as they are declared. Without NAME, list what can be run;
    NAME --help shows its inputs. Options stand before NAME; after it, a name that both have is the input's.
    """
    from flytepath.cli.descriptions import list_runnable, show_help
    from flytepath.cli.inputs import read_inputs, split_arguments
    from flytepath.cli.loading import load

    loaded = load(source)
    if name is None:
        found = loaded.runnable()
        if not found:
            raise UsageError(
                "there is nothing to run", place=str(loaded.file), expected="at least one @workflow or @task"
            )
        list_runnable(found)
        return
    entity = loaded.find(name)
    command: CommandOfEntity = ctx.command  # type: ignore[assignment]
    given = split_arguments(ctx.obj["tail"], entity, command.own_options(ctx))
    if given.wants_help:
        show_help(source, name, entity)
        return
    if given.own:
        again = command.make_context(ctx.info_name, [*given.own, *ctx.obj["head"]], parent=ctx.parent)
        own = {key: value for key, value in again.params.items() if key not in ("source", "name")}
    settings = RunSettings(
        own["project"],
        own["domain"],
        own["inputs_file"],
        own["execution"],
        own["env"],
        own["label"],
        own["annotation"],
        own["overwrite_cache"],
        own["in_process"],
        own["detach"],
        own["timeout"],
        own["as_json"],
    )
    _ = getattr(entity, "graph", None)  # what is wrong with it is said before anything is made on disk
    _run(loaded, entity, read_inputs(entity, given.texts, settings.inputs_file), settings)


def _run(loaded: Any, entity: Any, inputs: Mapping[str, Any], settings: RunSettings) -> None:
    from flytepath.authoring.launch_plan import LaunchPlan
    from flytepath.bundle import collect
    from flytepath.cli.executions import follow
    from flytepath.cli.inputs import pairs
    from flytepath.client import LocalClient, Scope
    from flytepath.compiler import compile_entity, compile_launch_plan, parse_inputs
    from flytepath.model.identity import DEFAULT_DOMAIN, DEFAULT_PROJECT, Tenant

    tenant = Tenant(settings.project or DEFAULT_PROJECT, settings.domain or DEFAULT_DOMAIN)
    scope = Scope.of_this_user(tenant)
    variables, labels = pairs("--env", settings.env), pairs("--label", settings.labels)
    annotations = pairs("--annotation", settings.annotations)
    with LocalClient(config.home()) as client:
        blobs = client.blobs(scope)
        spec = compile_entity(entity, tenant, blobs, client.referred)
        literals = parse_inputs(entity, {}, inputs, blobs)
        bundle = collect(loaded.file, loaded.root)
        is_plan = isinstance(entity, LaunchPlan)
        overwrite = settings.overwrite_cache
        if is_plan:
            plan = compile_launch_plan(entity, spec.digest(), blobs)
            labels, annotations = {**plan.labels, **labels}, {**plan.annotations, **annotations}
            overwrite = overwrite or bool(plan.overwrite_cache)
            identity = client.register_launch_plan(scope, plan, spec, bundle)
        else:
            identity = client.register(scope, spec, bundle)
        execution = client.create_execution(
            scope,
            identity,
            literals,
            kind="launch_plan" if is_plan else "workflow",
            name=settings.name,
            overwrite_cache=overwrite,
            variables=variables,
            labels=labels,
            annotations=annotations,
            timeout_seconds=settings.timeout,
        )
        if settings.detach:
            click.echo(json.dumps({"id": execution}) if settings.as_json else execution)
            return
        if not settings.as_json:
            click.echo(f"execution {execution} of {identity}", err=True)
        tasks = {node.path: node.name or node.task or node.graph or node.kind for node in spec.nodes}
        follow(client, scope, execution, tasks, as_json=settings.as_json, in_process=settings.in_process)
