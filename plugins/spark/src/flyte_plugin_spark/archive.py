"""The user's code as one archive that the session hands to its executors, where functions find what they refer to."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from flytepath.plugin import DefinitionError

#: Made of code, or not the user's.
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
_LIMIT: Final = 64 * 1024 * 1024
#: The earliest time that an archive can tell: packing twice gives the same bytes.
_NO_TIME: Final = (1980, 1, 1, 0, 0, 0)


def ship_code(session: Any, code_path: Path | None, task: str, folder: Path) -> None:
    """Let the executors of a session import what the task's module can import, once for each content.

    Args:
        session: of a driver in this process with executors elsewhere, or of a Connect server.
        code_path: the unpacked code bundle; ``None`` where the user's own modules run.
        task: the task's full name, which tells its module.
        folder: where the archive is written; it stays there while the session lives.
    """
    files = dict(_bundle_files(code_path)) if code_path is not None else dict(_files_beside(task))
    if not files:
        return
    name = f"flytepath-{_digest(files)}.zip"
    remote = type(session).__module__.startswith("pyspark.sql.connect")
    # Sessions over one driver share what it has.
    keeper = session if remote else session.sparkContext
    shipped: set[str] = keeper.__dict__.setdefault("_flytepath_shipped", set())
    if name in shipped:
        return
    archive = folder / name
    pack(files, archive)
    if remote:
        session.addArtifacts(str(archive), pyfile=True)
    else:
        before = list(sys.path)
        session.sparkContext.addPyFile(str(archive))
        sys.path[:] = before  # the driver has the modules themselves
    shipped.add(name)


def pack(files: dict[str, Path], archive: Path) -> None:
    """Write files by their names to an archive; the same files give the same bytes."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name in sorted(files):
            out.writestr(zipfile.ZipInfo(name, _NO_TIME), files[name].read_bytes(), zipfile.ZIP_DEFLATED)


def _digest(files: dict[str, Path]) -> str:
    whole = hashlib.sha256()
    for name in sorted(files):
        content = files[name].read_bytes()
        whole.update(f"{name}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()[:16]


def _bundle_files(root: Path) -> Iterator[tuple[str, Path]]:
    for path in _walk(root):
        yield path.relative_to(root).as_posix(), path


def _files_beside(task: str) -> Iterator[tuple[str, Path]]:
    """The package of the task's module, or the modules and packages beside it where it is in none."""
    module = sys.modules.get(_module_of(task))
    file = getattr(module, "__file__", None)
    if module is None or not file or not file.endswith(".py") or "site-packages" in Path(file).parts:
        return  # a notebook: functions travel with their code, and installed packages are the cluster's affair
    path, total = Path(file).resolve(), 0
    inside = module.__name__.count(".") + (path.name == "__init__.py")
    root = path.parents[inside] if inside else path.parent
    found = _walk(root / path.relative_to(root).parts[0]) if inside else _modules_in(root)
    for item in found:
        total += item.stat().st_size
        if total > _LIMIT:
            raise DefinitionError(
                "the code beside the task is too large to be sent to executors",
                place=str(root),
                expected=f"at most {_LIMIT} bytes",
                hint="move the task into a folder or package of its own",
            )
        yield item.relative_to(root).as_posix(), item


def _module_of(task: str) -> str:
    name = task.rpartition(".")[0]
    while name and name not in sys.modules:
        name = name.rpartition(".")[0]
    return name or "__main__"


def _modules_in(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.is_file() and path.suffix == ".py":
            yield path
        elif path.is_dir() and (path / "__init__.py").is_file() and path.name not in _SKIPPED:
            yield from _walk(path)


def _walk(root: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith((".pyc", ".zip", ".whl", ".tgz", ".gz")):
                yield Path(parent, name)
