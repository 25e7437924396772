"""What is installed: the entry points of every contract version with their distributions, straight from the metadata.

Nothing is imported here but, by :func:`load_manifest`, one manifest that policy let through. Loading goes through
stevedore; its list of entry points is replaced by the one that is asked for, so that its cache on disk is neither
believed nor written.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from stevedore import ExtensionManager

from flytepath.plugin.contract import ENTRY_POINT_GROUP, ENTRY_POINT_PREFIX
from flytepath.plugin.policy import CORE

_METADATA_FILES: Final = ("entry_points.txt", "METADATA", "PKG-INFO")


@dataclass(frozen=True, slots=True)
class Installed:
    """One entry point of a plugin as it is installed.

    Args:
        name: the entry point's name; the distribution's where its entry points cannot be read.
        group: the entry-point group, which says the contract's major version.
        value: the manifest module.
        distribution, version, requires: from the distribution's metadata.
        files: what the index watches: the metadata, and the files the manifest comes from, present or not.
        problem: why it cannot even be considered; empty as a rule.
    """

    name: str
    group: str
    value: str
    distribution: str
    version: str
    requires: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    problem: str = ""

    @property
    def package(self) -> str:
        """The top-level package of the manifest."""
        return self.value.partition(":")[0].partition(".")[0]


class ManifestLoader(ExtensionManager[Any]):
    """Loads exactly one entry point, the one it is given."""

    def __init__(self, entry_point: importlib.metadata.EntryPoint, on_failure: Callable[[BaseException], None]) -> None:
        self._only = entry_point
        super().__init__(entry_point.group, on_load_failure_callback=lambda _manager, _entry, error: on_failure(error))

    def list_entry_points(self) -> list[importlib.metadata.EntryPoint]:
        """Only the one; stevedore would ask its cache."""
        return [self._only]


def load_manifest(name: str, value: str) -> ModuleType:
    """Import a manifest. Whatever it raises comes through.

    Example:
        >>> load_manifest("flytepath", "flytepath.plugin.builtin").__name__
        'flytepath.plugin.builtin'
    """
    failures: list[BaseException] = []
    loader = ManifestLoader(importlib.metadata.EntryPoint(name, value, ENTRY_POINT_GROUP), failures.append)
    if failures:
        raise failures[0]
    manifest: Any = loader.extensions[0].plugin  # typed as a class there; an entry point may name a module
    if not isinstance(manifest, ModuleType):
        raise TypeError(f"the entry point {value!r} leads to {type(manifest).__name__}, not to a module")
    return manifest


def installed_plugins(path: Sequence[str] | None = None) -> list[Installed]:
    """Every plugin of every contract version, in the order of names. Core's own entry is left out.

    Of two distributions of one name on ``sys.path`` the first counts, as it does for imports.
    """
    found: list[Installed] = []
    seen: set[str] = set()
    distributions = (
        importlib.metadata.distributions() if path is None else importlib.metadata.distributions(path=list(path))
    )
    for distribution in distributions:
        name = _field(distribution, "Name")
        key = name.lower().replace("_", "-").replace(".", "-")
        if not key or key in seen:
            continue
        seen.add(key)
        text = distribution.read_text("entry_points.txt")
        if text and ENTRY_POINT_PREFIX in text:
            found += _entries(distribution, name, text)
    return sorted(found, key=lambda item: (item.name, item.distribution, item.group))


def _field(distribution: importlib.metadata.Distribution, name: str) -> str:
    """A field of the metadata; empty where a half-removed distribution has none."""
    metadata = distribution.metadata
    return str(metadata[name]) if name in metadata else ""


def _entries(distribution: importlib.metadata.Distribution, name: str, text: str) -> Iterator[Installed]:
    version = _field(distribution, "Version")
    requires = tuple(distribution.requires or ())
    metadata = _metadata_files(distribution)
    try:
        entries = [entry for entry in distribution.entry_points if entry.group.startswith(ENTRY_POINT_PREFIX)]
    except Exception as error:  # noqa: BLE001 - one unreadable distribution must not hide the others
        problem = f"its entry_points.txt cannot be read: {error}"
        yield Installed(name, ENTRY_POINT_GROUP, "", name, version, requires, metadata, problem)
        return
    for entry in entries:
        if entry.name == CORE and name == CORE:
            continue
        files = metadata + (manifest_files(entry.value) if entry.group == ENTRY_POINT_GROUP else ())
        yield Installed(entry.name, entry.group, entry.value, name, version, requires, files)


def _metadata_files(distribution: importlib.metadata.Distribution) -> tuple[str, ...]:
    # The standard library knows the folder but has no public name for it; without it, only upgrades by folder are seen.
    folder = getattr(distribution, "_path", None)
    if not isinstance(folder, Path):
        return ()
    return tuple(str(folder / name) for name in _METADATA_FILES if (folder / name).exists())


def manifest_files(value: str) -> tuple[str, ...]:
    """Where the manifest and the packages around it lie, found without importing any of them."""
    top, *rest = value.partition(":")[0].split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return ()
    if spec is None:
        return ()
    files = [spec.origin] if spec.origin and spec.has_location else []
    for location in spec.submodule_search_locations or ():
        folder = Path(location)
        for part in rest[:-1]:
            folder /= part
            files.append(str(folder / "__init__.py"))
        if rest:
            module = folder / f"{rest[-1]}.py"
            files.append(str(module if module.exists() else folder / rest[-1] / "__init__.py"))
    return tuple(files)
