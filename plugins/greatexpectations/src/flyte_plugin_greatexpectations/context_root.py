"""A context root: the folder of a Great Expectations project, read when a validation is defined and never written to.

Its files travel with the code of the workflow, without ``uncommitted``, where results and passwords lie. What runs
works on a copy of its own, so that runs side by side neither see nor disturb each other.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flytepath.plugin import DefinitionError, needs_files

from flyte_plugin_greatexpectations.errors import ContextRootError
from flyte_plugin_greatexpectations.suite import Expectation, read_stored

_CONFIGURATION: Final = "great_expectations.yml"
#: What is looked for where no folder is named: the name of version 1, and the one before.
_USUAL: Final = ("gx", "great_expectations")
_LEFT_OUT: Final = frozenset({"uncommitted", "__pycache__", ".ipynb_checkpoints"})
_LIMIT: Final = 8 * 1024 * 1024
_OURS: Final = (__package__ or "", "flytepath")


@dataclass(frozen=True, slots=True)
class ContextRoot:
    """A context root on this machine.

    Args:
        given: how it was named, which is the same on every machine.
        folder: where it lies here.
    """

    given: str
    folder: Path

    @classmethod
    def found(cls, given: str | os.PathLike[str] | None, place: str) -> ContextRoot:
        """The context root of that name.

        A relative one lies beside the module that names it, where its package is imported from, or in the current
        folder.

        Raises:
            ContextRootError: there is none.
        """
        names = _USUAL if given is None else (os.fspath(given),)
        bases = tuple(dict.fromkeys((*_folders_of_caller(), Path.cwd())))
        for name in names:
            for base in bases:
                folder = base / Path(name).expanduser()
                if (folder / _CONFIGURATION).is_file():
                    root = cls(name, folder.resolve())
                    needs_files(root.files().values())
                    return root
        raise ContextRootError(
            "there is no context root" + ("" if given is None else f" {os.fspath(given)!r}"),
            place=place,
            expected=f"a folder with a {_CONFIGURATION}",
            actual=" and ".join(dict.fromkeys(str(base / name) for name in names for base in bases)),
            hint="gx.get_context(mode='file') makes one; inline expectations=[...] need none",
        )

    def files(self) -> dict[str, Path]:
        """The files that make it, by their path below it.

        Raises:
            ContextRootError: it cannot be read, or is no folder of definitions but one of data.
        """
        found: dict[str, Path] = {}
        total = 0
        try:
            for parent, folders, names in os.walk(self.folder):
                folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
                for name in sorted(names):
                    path = Path(parent) / name
                    if name.endswith(".pyc") or not path.is_file():
                        continue
                    total += path.stat().st_size
                    found[path.relative_to(self.folder).as_posix()] = path
        except OSError as error:
            raise ContextRootError("the context root cannot be read", place=self.given, actual=str(error)) from error
        if total > _LIMIT:
            raise ContextRootError(
                "the context root is too large to travel with the code",
                place=self.given,
                expected=f"at most {_LIMIT} bytes beside uncommitted/",
                actual=f"{total} bytes",
                hint="keep data elsewhere",
            )
        return found

    def digest(self) -> str:
        """What stands for its content."""
        whole = hashlib.sha256()
        for name, path in self.files().items():
            content = path.read_bytes()
            whole.update(f"{name}\0{len(content)}\0".encode() + content)
        return whole.hexdigest()

    def copy_to(self, folder: Path) -> Path:
        """A copy that may be written to."""
        for name, path in self.files().items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        return folder

    # --- what is in it --------------------------------------------------------------------------------------------

    def suite(self, name: str, place: str) -> tuple[Expectation, ...]:
        """The expectations of a suite.

        Raises:
            ContextRootError: there is no such suite, or its file holds none.
        """
        stored = self._stored("expectations_store", "expectations", name, "suite", place)
        try:
            return read_stored(stored, f"{self.given}: suite {name}")
        except DefinitionError as error:
            raise ContextRootError(
                error.message, place=error.place, expected=error.expected, actual=error.actual, hint=error.hint
            ) from error

    def check_checkpoint(self, name: str, place: str) -> None:
        """Refuse a checkpoint that is not there, or whose parts are not."""
        stored = self._stored("checkpoint_store", "checkpoints", name, "checkpoint", place)
        for item in stored.get("validation_definitions") or [] if isinstance(stored, Mapping) else []:
            definition = str(item.get("name", "")) if isinstance(item, Mapping) else ""
            self._stored(
                "validation_definition_store",
                "validation_definitions",
                definition,
                "validation definition",
                f"{place}: checkpoint {name}",
            )

    def check_source(self, source: str, asset: str, batch: str, place: str) -> str:
        """The type of a data source, whose asset and batch definition are there as far as they are named.

        Raises:
            ContextRootError: one is not.
        """
        sources = _mapping(self._configuration().get("fluent_datasources"))
        found = _mapping(self._named(sources, source, "data source", place))
        assets = _mapping(found.get("assets"))
        kind = str(found.get("type", ""))
        if asset:
            chosen = _mapping(self._named(assets, asset, f"asset of the data source {source!r}", place))
            if batch:
                self._named(
                    _mapping(chosen.get("batch_definitions")), batch, f"batch definition of the asset {asset!r}", place
                )
        return kind

    def _configuration(self) -> Mapping[str, Any]:
        import yaml

        path = self.folder / _CONFIGURATION
        try:
            return _mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ContextRootError(
                f"{_CONFIGURATION} cannot be read", place=self.given, actual=str(error)[:500]
            ) from error

    def _stored(self, store: str, usual: str, name: str, what: str, place: str) -> Any:
        configured = _mapping(_mapping(self._configuration().get("stores")).get(store))
        base = self.folder / str(_mapping(configured.get("store_backend")).get("base_directory") or usual)
        # Before version 1 the dots of a name were folders.
        for path in (base / f"{name}.json", base / f"{name.replace('.', '/')}.json"):
            if path.is_file() and path.resolve().is_relative_to(base.resolve()):
                try:
                    return json.loads(path.read_text(encoding="utf-8"))
                except (OSError, ValueError) as error:
                    raise ContextRootError(
                        f"the {what} {name!r} cannot be read", place=f"{place}: {path}", actual=str(error)
                    ) from error
        there = sorted(path.relative_to(base).with_suffix("").as_posix() for path in base.rglob("*.json"))
        return self._named({}, name, what, place, there)

    def _named(
        self, found: Mapping[str, Any], name: str, what: str, place: str, there: Iterable[str] | None = None
    ) -> Any:
        if name in found:
            return found[name]
        known = sorted(found) if there is None else list(there)
        near = difflib.get_close_matches(name, known, n=1)
        raise ContextRootError(
            f"the context root {self.given!r} has no {what} {name!r}",
            place=place,
            expected=", ".join(known) or "nothing: it has none",
            hint=f"did you mean {near[0]!r}?" if near else None,
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _folders_of_caller() -> tuple[Path, ...]:
    """The folder of the module that defines a validation, and the one that its package is imported from."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        file = frame.f_globals.get("__file__")
        if name.partition(".")[0] not in _OURS and file:
            path = Path(file).resolve()
            depth = name.count(".") + (path.name == "__init__.py")
            return (path.parent, path.parents[depth])
        if frame.f_back is None:
            break
        frame = frame.f_back
    return ()
