"""Shell completion: the scripts to install, and what stands to choose at a place of the command line.

Nothing here may fail or be slow: names and inputs come from reading a file's syntax, never from running it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

#: Decorators that make something to run, and functions that return it.
_DECORATORS = frozenset(
    {"task", "workflow", "dynamic", "eager", "reference_task", "reference_workflow", "reference_launch_plan"}
)
_MAKERS = frozenset(
    {"ShellTask", "ContainerTask", "SQLTask", "SQLite3Task", "Workflow", "ImperativeWorkflow", "map_task", "Echo"}
    | {"LaunchPlan", "get_or_create", "create", "get_default_launch_plan", "NotebookTask", "FileSensor"}
)
_FILE_LIMIT = 2_000_000


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell; docs/command-line.md says where it goes."""
    from flytepath.cli.root import root

    found = get_completion_class(shell)
    if found is None:  # pragma: no cover - the three are click's own
        raise click.UsageError(f"there is no completion for {shell}")
    made = found(root, {}, "flytepath", "_FLYTEPATH_COMPLETE")
    click.echo(made.source_template % made.source_vars(), nl=False)


def complete_sources(incomplete: str) -> list[CompletionItem]:
    """Python files and folders that go on from what was typed."""
    path = Path(incomplete or ".")
    folder = path if incomplete.endswith("/") or not incomplete else path.parent
    typed = "" if folder == path else path.name
    shown = incomplete.removesuffix(typed)
    try:
        entries = sorted(Path(folder).expanduser().iterdir())
    except OSError:
        return []
    items = []
    for entry in entries:
        if not entry.name.startswith(typed) or (entry.name.startswith((".", "__")) and not typed):
            continue
        if entry.is_dir():
            items.append(CompletionItem(f"{shown}{entry.name}/", type="plain"))
        elif entry.suffix == ".py":
            items.append(CompletionItem(f"{shown}{entry.name}", type="plain"))
    return items


def complete_names(source: str, incomplete: str) -> list[CompletionItem]:
    """What a file defines that can be run, with the first line of its docstring."""
    return [
        CompletionItem(name, help=said or None) for name, said, _ in _defined(source) if name.startswith(incomplete)
    ]


def complete_inputs(source: str, name: str, incomplete: str) -> list[CompletionItem]:
    """The inputs of something a file defines, as options."""
    for defined, _, function in _defined(source):
        if defined == name and function is not None:
            arguments = function.args
            every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            return [
                CompletionItem(f"--{each.arg}", help=ast.unparse(each.annotation) if each.annotation else None)
                for each in every
                if f"--{each.arg}".startswith(incomplete or "--")
            ]
    return []


def _defined(source: str) -> Iterator[tuple[str, str, ast.FunctionDef | ast.AsyncFunctionDef | None]]:
    tree = _parsed(source)
    if tree is None:
        return
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            if any(_called(each) in _DECORATORS for each in statement.decorator_list):
                yield statement.name, (ast.get_docstring(statement) or "").partition("\n")[0], statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Call):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if _called(statement.value) in _MAKERS:
                yield from ((target.id, "", None) for target in targets if isinstance(target, ast.Name))


def _called(node: ast.expr) -> str:
    """The last name of a decorator or call: ``task`` of ``@flytepath.task(retries=2)``."""
    while isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _parsed(source: str) -> ast.Module | None:
    path = Path(source).expanduser()
    if path.suffix != ".py":
        path = Path(*source.split(".")).with_suffix(".py")
    try:
        if not path.is_file() or path.stat().st_size > _FILE_LIMIT:
            return None
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # what cannot be read has nothing to offer; running it will say why
