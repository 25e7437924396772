"""What declarations point to: is it there, and is it the kind of object that the contract asks for?

Doctor and the conformance kit ask this in a process of its own (``python -m flytepath.plugin.references``), because
resolving a reference imports the plugin's library, which may be heavy, hang, or end the interpreter.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

Json = Any
#: ``(hook, field) -> finding`` where ``finding`` is ``None`` or (what is wrong, what to do).
Finding = tuple[str, str]

#: Fields that hold a ``module:attribute`` reference, by hook, and the kind of object each must lead to.
KIND_OF: Final[Mapping[str, Mapping[str, str]]] = {
    "flytepath_task_types": {"task_type": "TaskType", "config": "class"},
    "flytepath_transformers": {"transformer": "TypeTransformer"},
    "flytepath_dataframe_codecs": {"encoder": "callable", "decoder": "callable"},
    "flytepath_boundary_checks": {"checker": "BoundaryChecker"},
    "flytepath_task_wrappers": {"wrapper": "callable"},
    "flytepath_resource_policies": {"policy": "callable"},
    "flytepath_backends": {"backend": "Backend", "settings": "pydantic model"},
    "flytepath_renderers": {"renderer": "Renderer"},
    "flytepath_secret_providers": {"provider": "SecretProvider"},
    "flytepath_blob_stores": {"store": "BlobStore"},
    "flytepath_event_sinks": {"sink": "EventSink"},
    "flytepath_deck_renderers": {"renderer": "DeckRenderer"},
    "flytepath_cli_commands": {"command": "click command"},
    "flytepath_migrations": {},
}
#: Fields that hold qualified names of classes, which may belong to libraries that are not installed.
TYPE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "flytepath_transformers": ("python_types",),
    "flytepath_dataframe_codecs": ("frame_type",),
    "flytepath_boundary_checks": ("marker",),
    "flytepath_deck_renderers": ("python_type",),
}


def resolve(reference: str) -> Any:
    """Import what ``module:attribute`` points to.

    Raises:
        ValueError: it is not of that form.
        AttributeError: the module has no such attribute.

    Example:
        >>> resolve("flytepath.plugin.task_type:TaskType").__name__
        'TaskType'
    """
    module, separator, attribute = reference.partition(":")
    if not (module and separator and attribute):
        raise ValueError(f"{reference!r} is not of the form 'module:attribute'")
    target: Any = importlib.import_module(module)
    for part in attribute.split("."):
        target = getattr(target, part)
    return target


def check_declaration(hook: str, fields: Mapping[str, Json]) -> list[Finding]:
    """Resolve every reference of one declaration; what is wrong with it, as (problem, advice) pairs.

    Args:
        hook: the hook that returned it.
        fields: the declaration as plain data.
    """
    findings: list[Finding] = []
    for name, kind in KIND_OF.get(hook, {}).items():
        reference = fields.get(name, "")
        if not reference:
            continue
        try:
            target = resolve(reference)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is the finding
            problem = f"{hook}: {name} {reference!r} does not resolve: {type(error).__name__}: {error}"
            findings.append((problem, _advice(error)))
            continue
        mismatch = _mismatch(target, kind)
        if mismatch:
            findings.append((f"{hook}: {name} {reference!r} {mismatch}", f"point it to a {_described(kind)}"))
        elif hook == "flytepath_transformers":
            findings += _format_mismatch(target, fields)
    if hook == "flytepath_migrations":
        findings += _check_migration(fields)
    return findings


def defining_name(name: str) -> str | None:
    """The qualified name, by its *defining* module, of the class that ``name`` leads to; ``None`` if that fails.

    Example:
        >>> defining_name("collections.abc.Mapping"), defining_name("nowhere.Thing")
        ('collections.abc.Mapping', None)
        >>> defining_name("flytepath.plugin.TaskType")
        'flytepath.plugin.task_type.TaskType'
    """
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            target: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            target = getattr(target, part, None)
        if isinstance(target, type):
            return f"{target.__module__}.{target.__qualname__}"
        return None
    return None


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"install what provides {error.name!r}, or declare it as a requirement of the plugin"
    if isinstance(error, (AttributeError, ValueError)):
        return "write it as 'module:attribute', with a module and a name that exist"
    return "the module must be importable without side effects; import its vendor library where it is used"


def _described(kind: str) -> str:
    return (
        kind
        if kind in ("class", "callable", "pydantic model", "click command")
        else f"subclass of flytepath.plugin.{kind}"
    )


def _mismatch(target: Any, kind: str) -> str | None:
    """Why ``target`` is not of ``kind``; ``None`` if it is."""
    checks: dict[str, Callable[[Any], bool]] = {
        "callable": callable,
        "class": inspect.isclass,
        "pydantic model": _is_pydantic_model,
        "click command": _is_click_command,
    }
    if kind in checks:
        return None if checks[kind](target) else f"is a {type(target).__name__}, not a {kind}"
    base = getattr(importlib.import_module("flytepath.plugin"), kind)
    if not (inspect.isclass(target) and issubclass(target, base)):
        return f"is not a subclass of flytepath.plugin.{kind}"
    missing = sorted(getattr(target, "__abstractmethods__", ()))
    if missing:
        return f"does not implement {', '.join(missing)}"
    return None


def _is_pydantic_model(target: Any) -> bool:
    from pydantic import BaseModel

    return inspect.isclass(target) and issubclass(target, BaseModel)


def _is_click_command(target: Any) -> bool:
    import click

    return isinstance(target, click.Command)


def _format_mismatch(target: Any, fields: Mapping[str, Json]) -> list[Finding]:
    declared = (fields.get("format"), fields.get("version", 1))
    actual = (getattr(target, "format", None), getattr(target, "format_version", None))
    if declared == actual:
        return []
    problem = (
        f"flytepath_transformers: {target.__qualname__} writes format {actual[0]!r} version {actual[1]!r}, "
        f"its declaration says {declared[0]!r} version {declared[1]!r}"
    )
    return [(problem, "the class attributes format and format_version repeat the declaration")]


def _check_migration(fields: Mapping[str, Json]) -> list[Finding]:
    target = str(fields.get("target", ""))
    try:
        module = importlib.import_module(target)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises is the finding
        return [
            (
                f"flytepath_migrations: target {target!r} does not import: {type(error).__name__}: {error}",
                _advice(error),
            )
        ]
    missing = [new for _, new in fields.get("names", ()) if not hasattr(module, new)]
    return [(f"flytepath_migrations: {target!r} has no {name!r}", "name what the module has") for name in missing]


def main() -> None:
    """Read ``[[hook, fields], ...]`` from stdin; write ``[[problem, advice], ...]`` to the original stdout."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    findings = [finding for hook, fields in request for finding in check_declaration(hook, fields)]
    with answer:
        json.dump(findings, answer)


if __name__ == "__main__":
    main()
