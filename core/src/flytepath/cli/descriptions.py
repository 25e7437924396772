"""What is said of something that can be run: its kind, its first line, and its inputs with types and meanings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click

from flytepath.authoring.dynamic import DynamicTask
from flytepath.authoring.eager import EagerTask
from flytepath.authoring.entity import Entity
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.authoring.map_task import MapTask
from flytepath.authoring.reference import ReferenceEntity
from flytepath.authoring.signature import REQUIRED
from flytepath.authoring.workflow import Workflow

#: The order in which kinds are listed.
KINDS = ("workflow", "launch plan", "task", "dynamic", "eager", "map", "reference")


def kind_of(entity: Entity) -> str:
    """What it is, in a word.

    Example:
        >>> from flytepath import task
        >>> @task
        ... def one() -> int:
        ...     return 1
        >>> kind_of(one)
        'task'
    """
    kinds: tuple[tuple[type[Entity], str], ...] = (
        (LaunchPlan, "launch plan"),
        (Workflow, "workflow"),
        (MapTask, "map"),
        (ReferenceEntity, "reference"),
        (DynamicTask, "dynamic"),
        (EagerTask, "eager"),
    )
    return next((kind for cls, kind in kinds if isinstance(entity, cls)), "task")


def documentation_of(entity: Entity) -> str:
    """Its docstring, or what its author wrote in place of one; a launch plan's is its workflow's."""
    if isinstance(entity, LaunchPlan):
        return documentation_of(entity.workflow)
    if isinstance(entity, MapTask):
        return documentation_of(entity.target)
    own = vars(entity).get("__doc__") or getattr(vars(entity).get("__wrapped__"), "__doc__", None)
    if own:
        return str(own).strip()
    declared = getattr(entity, "documentation", None) or getattr(
        getattr(entity, "settings", None), "documentation", None
    )
    return declared.strip() if isinstance(declared, str) else getattr(declared, "short_description", None) or ""


def summary_of(entity: Entity) -> str:
    """The first line of its documentation."""
    return documentation_of(entity).partition("\n")[0].strip()


def described(documentation: str) -> dict[str, str]:
    """What a docstring says of each parameter, in the style of Google, reStructuredText or NumPy.

    Example:
        >>> described("Trains.\\n\\n  Args:\\n    rate: how fast\\n        it learns.\\n    x (int): why.")
        {'rate': 'how fast it learns.', 'x': 'why.'}
        >>> described(":param rate: how fast.\\n:returns: nothing")
        {'rate': 'how fast.'}
    """
    found = dict(_sphinx(documentation))
    return found or dict(_numpy(documentation)) or dict(_google(documentation))


_SECTION = re.compile(r"^(\s*)(?:Args|Arguments|Parameters|Inputs)\s*:\s*$")
_ITEM = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_PARAM = re.compile(r":param\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)")


def _google(text: str) -> Iterator[tuple[str, str]]:
    lines = iter(text.expandtabs().splitlines())
    margin = next((len(m[1]) for line in lines if (m := _SECTION.match(line))), None)
    if margin is None:
        return
    name, words, depth = "", list[str](), None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if indent <= margin:
            break
        depth = indent if depth is None else depth
        item = _ITEM.match(line.strip()) if indent <= depth else None
        if item:
            if name:
                yield name, " ".join(words)
            name, words = item[1], [item[2]] if item[2] else []
        else:
            words.append(line.strip())
    if name:
        yield name, " ".join(words)


def _sphinx(text: str) -> Iterator[tuple[str, str]]:
    name, words = "", list[str]()
    for line in text.splitlines():
        item = _PARAM.match(line.strip())
        if item or line.strip().startswith(":") or not line.strip():
            if name:
                yield name, " ".join(words)
            name, words = (item[1], [item[2]]) if item else ("", [])
        elif name:
            words.append(line.strip())
    if name:
        yield name, " ".join(words)


def _numpy(text: str) -> Iterator[tuple[str, str]]:
    lines = text.expandtabs().splitlines()
    start = next(
        (i for i in range(len(lines) - 1) if lines[i].strip() == "Parameters" and set(lines[i + 1].strip()) == {"-"}),
        None,
    )
    if start is None:
        return
    margin = len(lines[start]) - len(lines[start].lstrip()) if start else None
    name, words = "", list[str]()
    for index in range(start + 2, len(lines)):
        line = lines[index]
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        margin = indent if margin is None else margin
        if index + 1 < len(lines) and set(lines[index + 1].strip()) == {"-"}:
            break
        if indent <= margin:
            if name:
                yield name, " ".join(words)
            name, words = line.partition(":")[0].strip(), []
        else:
            words.append(line.strip())
    if name:
        yield name, " ".join(words)


def list_runnable(found: dict[str, Entity]) -> None:
    """Print what can be run, a line each."""
    rows = sorted(found.items(), key=lambda pair: (KINDS.index(kind_of(pair[1])), pair[0]))
    width = max(len(name) for name, _ in rows)
    for name, entity in rows:
        click.echo(f"{kind_of(entity):11} {name:{width}}  {summary_of(entity)}".rstrip())


def show_help(source: str, name: str, entity: Entity, command: str = "run") -> None:
    """Print how something is run: its inputs and outputs, with what its docstring says of them."""
    from flytepath.cli.inputs import is_flag

    inputs = " [--INPUT VALUE]..." if entity.inputs else ""
    click.echo(f"Usage: flytepath {command} [OPTIONS] {source} {name}{inputs}\n")
    documentation = documentation_of(entity)
    text = _before_arguments(documentation)
    if text:
        click.echo(f"  {text}\n")
    says = described(documentation)
    click.echo("Inputs:" if entity.inputs else "It takes no inputs.")
    rows = []
    for key, codec in entity.input_codecs.items():
        default = entity.defaults.get(key, REQUIRED)
        note = "required" if default is REQUIRED else f"default {_shown(default)}"
        option = f"--{key} / --no-{key}" if is_flag(entity, key) else f"--{key}"
        words = [f"{_type(entity.inputs[key], codec)}  ({note})", says.get(key, "")]
        rows.append((option, "\n".join(filter(None, words))))
    _table(rows)
    if isinstance(entity, LaunchPlan) and entity.fixed_inputs:
        click.echo("Fixed by the launch plan:")
        _table([(key, _shown(value)) for key, value in entity.fixed_inputs.items()])
    click.echo("Outputs:" if entity.outputs else "It has no outputs.")
    _table([(key, _type(entity.outputs[key], codec)) for key, codec in entity.output_codecs.items()])


def _table(rows: list[tuple[str, str]]) -> None:
    width = min(34, max((len(left) for left, _ in rows), default=0))
    for left, right in rows:
        first, *more = right.splitlines() or [""]
        click.echo(f"  {left:{width}}  {first}".rstrip())
        for line in more:
            click.echo(f"  {'':{width}}    {line}")


def _before_arguments(text: str) -> str:
    """A docstring up to where it speaks of arguments."""
    kept = []
    for line in text.splitlines():
        if _SECTION.match(line) or line.strip().startswith(":param") or line.strip() == "Parameters":
            break
        kept.append(line)
    return "\n".join(kept).strip()


def _type(t: Any, codec: Any) -> str:
    """A type as its author wrote it, and what may be chosen."""
    from flytepath.types.converter import type_name
    from flytepath.types.text_values import shown_choice

    inner = getattr(codec.converter, "inner", codec.converter)
    if inner.literal_type.kind != "enum":
        return type_name(codec.python_type)
    members = inner.choices.values() if hasattr(inner, "choices") else inner.cls
    choices = ", ".join(shown_choice(member) for member in members)
    optional = ", or null" if inner is not codec.converter else ""
    return f"one of {choices}{optional}"


def _shown(value: Any) -> str:
    text = value.name if hasattr(type(value), "__members__") else repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
