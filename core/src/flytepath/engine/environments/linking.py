"""Makes flytepath itself importable in an environment: links to what it needs of the engine's own, and nothing else.

The links stand last on the path, so what the task asked for wins. Of the engine's site-packages only the distributions
that flytepath, and the plugin that runs the task, require are linked, file by file as their records list them: a
library the task did not ask for is not found because the engine happens to have it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import flytepath
from flytepath.engine.environments.asked import CORE
from flytepath.engine.environments.failures import EnvironmentBuildError, EnvironmentUnavailableError
from flytepath.plugin.requirements import parse_requirement

#: The last of an environment's path files, so that its folder comes last.
PATH_FILE: Final = "zzz_flytepath_engine.pth"
_METADATA: Final = (".dist-info", ".egg-info")
_INIT: Final = "__init__.py"


@dataclass(frozen=True, slots=True)
class Linked:
    """A distribution of the engine's, and what it requires of others here."""

    name: str
    version: str
    requires: tuple[Requirement, ...]
    distribution: Distribution

    @property
    def location(self) -> str:
        """The folder it is installed in."""
        return str(self.distribution.locate_file(""))


def closure(plugin: str = "") -> dict[str, Linked]:
    """flytepath, ``plugin``, and all they require, by normalised name; the roots come first.

    Raises:
        EnvironmentUnavailableError: the engine's own installation lacks one of them.
    """
    extras = ("postgres",) if os.environ.get("FLYTEPATH_DATABASE", "").startswith("postgres") else ()
    waiting: deque[tuple[str, tuple[str, ...]]] = deque([(CORE, extras)])
    if plugin and canonicalize_name(plugin) != CORE:
        waiting.append((canonicalize_name(plugin), ()))
    found: dict[str, Linked] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        name, wanted = waiting.popleft()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        held = _distribution(name)
        active = tuple(_active(held.requires or (), wanted))
        before = found[name].requires if name in found else ()
        found[name] = Linked(name, held.version, (*before, *(one for one in active if one not in before)), held)
        waiting.extend((canonicalize_name(one.name), tuple(sorted(one.extras))) for one in active)
    return found


def _distribution(name: str) -> Distribution:
    try:
        return distribution(name)
    except PackageNotFoundError as error:
        raise EnvironmentUnavailableError(
            f"the engine's own installation lacks {name}, which every environment needs",
            place=name,
            hint="install flytepath with its requirements, as pip or uv does",
        ) from error


def _active(requires: Iterable[str], extras: tuple[str, ...]) -> Iterator[Requirement]:
    for line in requires:
        one = parse_requirement(line)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield one


def signature(linked: Mapping[str, Linked]) -> list[Any]:
    """What tells one engine's part of an environment from another's."""
    return [
        flytepath.__version__,
        str(Path(flytepath.__file__).parent),
        *sorted([one.name, one.version, one.location] for one in linked.values()),
    ]


def needed(linked: Mapping[str, Linked]) -> dict[str, str]:
    """For each name the versions that are required of it, as one specifier; empty where any will do.

    Example:
        >>> needed(closure())["click"]
        '>=8.1.7'
    """
    found: dict[str, dict[str, None]] = {}
    for one in linked.values():
        for requirement in one.requires:
            specifiers = found.setdefault(canonicalize_name(requirement.name), {})
            specifiers.update(dict.fromkeys(sorted(str(part) for part in requirement.specifier)))
    return {name: ",".join(specifiers) for name, specifiers in found.items() if name != CORE}


def installed_in(site: Path) -> dict[str, str]:
    """The distributions of a site-packages folder with their versions, by normalised name."""
    found: dict[str, str] = {}
    for one in distributions(path=[str(site)]):
        name = str(one.metadata["Name"] if "Name" in one.metadata else "")  # noqa: SIM401 - it has no typed get()
        if name:
            found.setdefault(canonicalize_name(name), one.version)
    return found


def check_fit(linked: Mapping[str, Linked], own: Mapping[str, str], place: str) -> None:
    """See whether flytepath can work with the versions that the task brings of what flytepath itself needs.

    Args:
        linked: of the engine's.
        own: the environment's own distributions.
        place: whose environment.

    Raises:
        EnvironmentBuildError: it names the two that do not fit.
    """
    for one in linked.values():
        if one.name in own:
            continue  # the installer saw to what it requires
        for requirement in one.requires:
            version = own.get(canonicalize_name(requirement.name))
            if version is not None and not requirement.specifier.contains(version, prereleases=True):
                raise misfit(f"{requirement.name} {version}", f"{one.name} {one.version}", str(requirement), place)


def misfit(brought: str, whose: str, requirement: str, place: str) -> EnvironmentBuildError:
    """The error of a library that would take the place of one flytepath cannot work with."""
    reason = "itself" if whose.startswith(f"{CORE} ") else f"({whose})"
    return EnvironmentBuildError(
        f"the environment cannot be used: its {brought} is not one that flytepath {reason} can work with",
        place=place,
        expected=requirement,
        actual=brought,
        hint="ask for a version that fits, or run that library in a container task",
    )


def link(linked: Mapping[str, Linked], own: Mapping[str, str], folder: Path, site: Path) -> None:
    """Put links into ``folder``, and ``folder`` last on the path of the environment whose packages lie in ``site``.

    Raises:
        EnvironmentUnavailableError: a distribution does not say what belongs to it.
    """
    folder.mkdir(parents=True)
    more: list[str] = []
    entries = [entry for one in linked.values() if one.name not in own for entry in _entries(one, more)]
    # Shallow ones first: what lies below a package that is linked as a whole is reached through it, and making it
    # would write into the engine's own packages.
    done: set[PurePosixPath] = set()
    for place, target in sorted(entries, key=lambda entry: len(entry[0].parts)):
        if done.isdisjoint((place, *place.parents)):
            done.add(place)
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).symlink_to(target)
    (site / PATH_FILE).write_text("\n".join([str(folder), *more, ""]), encoding="utf-8")


def _entries(one: Linked, more: list[str]) -> Iterator[tuple[PurePosixPath, Path]]:
    """What to link where; lines for the path file are added to ``more``."""
    root = Path(one.location)
    files = [PurePosixPath(str(file)) for file in one.distribution.files or ()]
    files = [file for file in files if ".." not in file.parts and not file.is_absolute()]
    if one.name == CORE:
        yield PurePosixPath("flytepath"), Path(flytepath.__file__).parent
        yield from ((place, root / place) for place in _tops(files) if place.name.endswith(_METADATA))
        return
    if not files:
        files = [PurePosixPath(name) / _INIT for name in _top_level_names(one)]
        metadata = getattr(one.distribution, "_path", None)
        if isinstance(metadata, Path):
            yield PurePosixPath(metadata.name), metadata
    for place in _tops(files):
        if place.suffix == ".pth":
            yield from _editable(one, root / place, more)
        elif (root / place).exists():
            yield place, root / place


def _tops(files: list[PurePosixPath]) -> list[PurePosixPath]:
    """The fewest places that cover ``files``: whole packages, and below namespaces what is this distribution's own."""
    packages = {file.parent for file in files if file.name == _INIT}
    found: dict[PurePosixPath, None] = {}
    for file in files:
        if "__pycache__" in file.parts:
            continue
        above = [*reversed(file.parents)][1:]
        whole = (folder for folder in above if folder in packages or folder.name.endswith(_METADATA))
        found.setdefault(next(whole, file))
    return list(found)


def _top_level_names(one: Linked) -> list[str]:
    names = (one.distribution.read_text("top_level.txt") or "").split()
    if not names:
        raise EnvironmentUnavailableError(
            f"the engine's {one.name} does not say which files belong to it",
            place=one.location,
            hint="install it with pip or uv, which keep a record",
        )
    return names


def _editable(one: Linked, path_file: Path, more: list[str]) -> Iterator[tuple[PurePosixPath, Path]]:
    """An editable installation: its packages in the working tree where they can be told, else its folder or hook."""
    packages = {entry.value.partition(":")[0].partition(".")[0] for entry in one.distribution.entry_points}
    packages |= set((one.distribution.read_text("top_level.txt") or "").split())
    packages.add(one.name.replace("-", "_"))
    for line in path_file.read_text(encoding="utf-8").splitlines():
        if line.startswith(("import ", "import\t")):
            more.append(line)
            continue
        folder = Path(line)
        if not line.strip() or not folder.is_dir():
            continue
        known = [name for name in sorted(packages) if (folder / name / _INIT).is_file()]
        if not known:
            more.append(line)
        yield from ((PurePosixPath(name), folder / name) for name in known)
