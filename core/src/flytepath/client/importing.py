"""What somebody hands over to be run, as workers will import it: the entity, its file, and the folder of its code."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from flytepath.authoring.entity import Entity
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.errors import InputError, UsageError
from flytepath.model.literal import Literal
from flytepath.model.types import LiteralType
from flytepath.store.blobs import BlobFolder
from flytepath.store.literals import inline, offload


def entity_of(thing: Any) -> Entity:
    """What can be registered and run.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(thing, Entity):
        return thing
    raise UsageError(
        "only workflows, tasks and launch plans can be registered and run",
        expected="what @workflow, @task or LaunchPlan made, or the name of something registered",
        actual=repr(thing)[:200],
    )


def importable(entity: Entity) -> tuple[Entity, Path, Path]:
    """The entity as a worker imports it, its file, and the folder it is importable from.

    Raises:
        UsageError: it is not defined in a file.
        InputError: its module does not hold it.
    """
    inner = entity.workflow if isinstance(entity, LaunchPlan) else entity
    name = str(vars(inner).get("__module__") or getattr(inner, "__module__", ""))
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        raise UsageError(
            f"{entity.name} is not defined in a file",
            place=entity.name,
            expected="a module that workers can import",
            hint="put it into a .py file, not into a shell or a notebook cell",
        )
    path = Path(file).resolve()
    root = path.parent
    for _ in range(name.count(".") + (path.name == "__init__.py")):
        root = root.parent
    if name != "__main__":
        return entity, path, root
    return _imported_again(entity, path), path, path.parent


def _imported_again(entity: Entity, path: Path) -> Entity:
    """An entity of the script that runs, from the module that workers import it from."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    held = next((key for key, value in vars(sys.modules["__main__"]).items() if value is entity), "")
    again = getattr(importlib.import_module(path.stem), held, None)
    if not isinstance(again, Entity):
        raise InputError(
            f"{entity.name} is not a variable of its module", place=str(path), hint="give it a name at the top level"
        )
    return again


def renamed(literal: Literal, known: LiteralType, wanted: LiteralType, blobs: BlobFolder) -> Literal:
    """A value of type ``known`` as one of ``wanted``, which has other names: of ``__main__``, or of its module.

    A class of a script is another class where workers import it, but its values are the same.
    """
    if literal.type != known or known == wanted:
        return literal
    found = inline(literal, blobs)
    made = Literal.make(wanted, found.data, format=found.format, version=found.version, ref=found.ref, refs=found.refs)
    return replace(offload(made, blobs), hash=literal.hash)
