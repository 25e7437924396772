"""``flytepath graph``: what is wired to what, as a tree in the terminal, an SVG picture, Mermaid or DOT."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from flytepath.errors import UsageError

if TYPE_CHECKING:
    from flytepath.authoring.entity import Entity
    from flytepath.drawing import Item

_SUFFIXES = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot", ".txt": "tree"}


def _sources(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from flytepath.cli.completion import complete_sources

    return complete_sources(incomplete)


def _names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from flytepath.cli.completion import complete_names

    return complete_names(str(ctx.params.get("source")), incomplete)


@click.command()
@click.argument("source", metavar="FILE|MODULE", shell_complete=_sources)
@click.argument("name", shell_complete=_names)
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["tree", "svg", "mermaid", "dot"]),
    help="By default what -o's ending says, or else a tree.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file.")
def graph(source: str, name: str, form: str | None, output: Path | None) -> None:
    """Draw what NAME of a Python file or module does. Nothing is run."""
    from flytepath.cli.constants import ConstantBlobs
    from flytepath.cli.loading import load
    from flytepath.compiler import compile_entity
    from flytepath.drawing import draw_dot, draw_mermaid, draw_svg, draw_tree, tree_of
    from flytepath.model.identity import Tenant

    form = form or (_SUFFIXES.get(output.suffix.lower(), "tree") if output else "tree")
    entity = load(source).find(name)
    spec = compile_entity(entity, Tenant(), ConstantBlobs(), _declared)
    names = dict(group_names(entity))
    if form == "tree" and output is None and sys.stdout.isatty():
        _print_tree(tree_of(spec, names))
        return
    draw = {"tree": draw_tree, "svg": draw_svg, "mermaid": draw_mermaid, "dot": draw_dot}[form]
    text = draw(spec, names)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_bytes(text.encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError("the drawing cannot be written", place=str(output), actual=str(error)) from error
    click.echo(str(output))


def _declared(kind: str, identity: Any) -> tuple[Any, str]:
    """What a reference says of itself, so that a graph is the same whatever is registered on this machine."""
    from flytepath.authoring.reference import ReferenceEntity
    from flytepath.cli.constants import ConstantBlobs
    from flytepath.compiler.literals import interface_of
    from flytepath.errors import EntityReferenceError
    from flytepath.model.task import TaskSpec
    from flytepath.model.workflow import WorkflowSpec

    for module in list(sys.modules.values()):
        for value in list(getattr(module, "__dict__", {}).values()):
            if type(value) is ReferenceEntity and (value.kind, value.reference) == (kind, identity):
                interface = interface_of(value, ConstantBlobs())
                name = identity.name
                return (TaskSpec if kind == "task" else WorkflowSpec)(name=name, interface=interface), ""
    raise EntityReferenceError(
        f"the reference to {kind.replace('_', ' ')} {identity} cannot be drawn: no variable of a module holds it",
        place=str(identity),
        hint="assign it to a variable at the top level of a module",
    )


def group_names(entity: Entity, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The paths of sub-workflows whose nodes are laid out in place, and their names."""
    from flytepath.authoring.launch_plan import LaunchPlan
    from flytepath.authoring.workflow import Workflow

    workflow = entity.workflow if isinstance(entity, LaunchPlan) else entity
    if not isinstance(workflow, Workflow):
        return
    for node in workflow.graph.nodes:
        inner: Any = node.entity
        path = f"{prefix}{node.path}"
        if isinstance(inner, Workflow):
            yield path, inner.name
        if isinstance(inner, Workflow | LaunchPlan):
            yield from group_names(inner, f"{path}/")


def _print_tree(top: Item) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.tree import Tree

    def label(item: Item) -> str:
        path = f"[cyan]{escape(item.path)}[/] " if item.path else ""
        kind = f"[dim]{item.kind}[/] " if item.path and item.kind != item.title else ""
        detail = f"  [dim]{escape(item.detail)}[/]" if item.detail else ""
        return f"{path}{kind}[bold]{escape(item.title)}[/]{detail}"

    def add(tree: Tree, item: Item) -> None:
        for inner in item.below:
            add(tree.add(label(inner)), inner)

    tree = Tree(label(top))
    add(tree, top)
    Console().print(tree, soft_wrap=True, highlight=False)
