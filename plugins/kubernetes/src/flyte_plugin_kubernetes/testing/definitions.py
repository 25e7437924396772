"""CustomResourceDefinitions from files of YAML, and where a project keeps them."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

Json = dict[str, Any]

#: Names the folder of definitions.
CRDS_VARIABLE = "FLYTEPATH_TEST_CRDS"


def read_definitions(path: Path) -> list[Json]:
    """The definitions of a file; one that does not change is read once."""
    return list(_read(path, path.stat().st_mtime_ns))


@functools.cache
def _read(path: Path, changed: int) -> tuple[Json, ...]:
    import yaml

    # The parser in C, where PyYAML has it: the others take seconds for a large definition.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with path.open(encoding="utf-8") as file:
        found = [item for item in yaml.load_all(file, Loader=loader) if item]
    return tuple(item for item in found if item.get("kind") == "CustomResourceDefinition")


def definitions_folder(beside: Path | None = None) -> Path | None:
    """Where real definitions lie: what ``FLYTEPATH_TEST_CRDS`` names, or ``shared/crds`` beside a folder or above it.

    Args:
        beside: the folder to begin at; the current one.
    """
    named = os.environ.get(CRDS_VARIABLE)
    if named:
        return Path(named) if Path(named).is_dir() else None
    here = (beside or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        found = folder / "shared" / "crds"
        if found.is_dir():
            return found
    return None


def definition_files(folder: Path, *groups: str) -> list[Path]:
    """The files of a folder, of the given API groups: they are named after ``<group>_<plural>.yaml``."""
    return sorted(path for path in folder.glob("*.yaml") if not groups or path.name.split("_", maxsplit=1)[0] in groups)
