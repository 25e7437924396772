"""Finds what a user means by FILE or MODULE and NAME, and loads it as it will be loaded in a worker."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from flytepath.authoring.entity import Entity
from flytepath.errors import FlytePathError, UsageError


@dataclass(frozen=True, slots=True)
class Source:
    """A loaded module, its file, and the folder it is importable from."""

    module: ModuleType
    file: Path
    root: Path

    def runnable(self) -> dict[str, Entity]:
        """What can be run, by variable name; launch plans that no variable holds by their own."""
        found = {
            name: value
            for name, value in vars(self.module).items()
            if isinstance(value, Entity) and not name.startswith("_")
        }
        held = {id(entity) for entity in found.values()}
        made = getattr(sys.modules.get("flytepath.authoring.launch_plan"), "_plans", {})
        for plan in made.values():
            if id(plan) not in held and id(plan.workflow) in held and plan.name != plan.workflow.name:
                found.setdefault(plan.name, plan)
        return found

    def find(self, name: str) -> Entity:
        """What the variable ``name`` holds, or what is called so itself, such as a launch plan.

        Raises:
            UsageError: there is none; it names what there is.
        """
        found = self.runnable()
        if name in found:
            return found[name]
        named = next((entity for entity in found.values() if entity.name == name), None)
        if named is not None:
            return named
        close = difflib.get_close_matches(name, found, n=1)
        raise UsageError(
            f"there is no workflow, task or launch plan {name!r}",
            place=str(self.file),
            expected=", ".join(sorted(found)) or "at least one @workflow or @task",
            hint=f"did you mean {close[0]!r}?" if close else None,
        )


def load(where: str) -> Source:
    """Load a file (``flows/train.py``) or a module (``flows.train``).

    Raises:
        UsageError: no such file or module, not Python, or its own code fails when it is imported.
    """
    path = Path(where)
    if path.suffix == ".py" or path.exists() or "/" in where:
        return _load_file(path)
    return _load_module(where)


def _load_file(path: Path) -> Source:
    if not path.exists():
        raise UsageError("no such file", place=str(path), hint=_similar_file(path))
    if path.is_dir():
        raise UsageError("this is a folder", place=str(path), expected="a Python file")
    if path.suffix != ".py":
        raise UsageError("this is not a Python file", place=str(path), expected="a file that ends in .py")
    file = path.resolve()
    root, names = file.parent, [file.stem]
    while (root / "__init__.py").exists():
        names.insert(0, root.name)
        root = root.parent
    name = ".".join(names[:-1] if names[-1] == "__init__" and len(names) > 1 else names)
    if any("." in part for part in names):
        raise UsageError("a file with a dot in its name cannot be imported", place=str(path), hint="rename the file")
    sys.path.insert(0, str(root))
    module = _imported(name, str(path))
    if Path(getattr(module, "__file__", "") or "").resolve() != file:
        raise UsageError(
            f"another module named {name!r} comes first",
            place=str(path),
            actual=str(getattr(module, "__file__", None)),
            hint="rename the file: its name is taken by an installed or built-in module",
        )
    return Source(module, file, root)


def _load_module(name: str) -> Source:
    sys.path.insert(0, str(Path.cwd()))
    module = _imported(name, name)
    origin = getattr(module, "__file__", None)
    if origin is None:
        raise UsageError("a module without a file cannot be run", place=name)
    file = Path(origin).resolve()
    root = file.parent
    for _ in range(name.count(".") + (1 if file.name == "__init__.py" else 0)):
        root = root.parent
    return Source(module, file, root)


def _imported(name: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except FlytePathError:
        raise
    except SyntaxError as error:
        raise UsageError(
            f"this is not valid Python: {error.msg}", place=f"{error.filename or place}:{error.lineno or 0}"
        ) from error
    except ModuleNotFoundError as error:
        if error.name == name or (error.name and name.startswith(error.name + ".")):
            raise UsageError(
                f"there is no module {name!r}", place=place, hint="give a file's path or a module"
            ) from error
        raise UsageError(
            f"it needs the module {error.name!r}, which is not installed",
            place=_last_line(error, place),
            hint=f"pip install the distribution that provides {(error.name or '').partition('.')[0]!r}",
        ) from error
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"importing it failed: {type(error).__name__}: {error}", place=_last_line(error, place)
        ) from error


def _last_line(error: BaseException, place: str) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(("<", sys.prefix))]
    own = [f for f in frames if "flytepath" not in Path(f.filename).parts]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else place


def _similar_file(path: Path) -> str | None:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    close = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1)
    return f"did you mean {path.parent / close[0]}?" if close else None
