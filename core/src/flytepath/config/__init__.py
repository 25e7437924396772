"""Where configuration lies: the home folder, and the files that speak for the folder a command is run in.

The order, strongest first: environment variables, the nearest ``flytepath.toml``, the nearest ``pyproject.toml`` with a
``[tool.flytepath]`` table, ``$FLYTEPATH_HOME/flytepath.toml``, defaults. ``FLYTEPATH_CONFIG`` names one file that takes
the place of the two nearest ones. Layers merge key by key. Reading them is the work of
:mod:`flytepath.config.settings`; this module only finds them and imports nothing that costs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from flytepath.errors import ConfigError

ENV_PREFIX: Final = "FLYTEPATH_"
FILE_NAME: Final = "flytepath.toml"
PROJECT_FILE: Final = "pyproject.toml"
#: Names the database where it is not a file in the home; stronger than every file.
DATABASE_VARIABLE: Final = f"{ENV_PREFIX}DATABASE"
#: Names the place of the blobs where that is not the home; stronger than every file.
BLOBS_VARIABLE: Final = f"{ENV_PREFIX}BLOBS"
#: Variables that start so are configuration keys; the other ``FLYTEPATH_`` variables belong to those who read them.
SETTING_PREFIXES: Final = (f"{ENV_PREFIX}PLUGINS", f"{ENV_PREFIX}PROJECTS", f"{ENV_PREFIX}TYPES")


class ConfigFile(NamedTuple):
    """A file that may hold configuration, and its bytes; ``table`` is where in it (empty: the whole file)."""

    path: Path
    content: bytes
    table: tuple[str, ...] = ()


def home() -> Path:
    """The folder that holds everything FlytePath keeps: ``$FLYTEPATH_HOME``, else ``~/.flytepath``. Not created.

    Example:
        >>> home().is_absolute()
        True
    """
    named = os.environ.get("FLYTEPATH_HOME")
    return Path(os.path.abspath(os.path.expanduser(named))) if named else Path.home() / ".flytepath"  # noqa: PTH100, PTH111


def candidate_files(start: Path | None = None, home_folder: Path | None = None) -> tuple[ConfigFile, ...]:
    """The files that could decide, strongest first, without parsing any: cheap enough for every start of a command.

    A ``pyproject.toml`` is a candidate where its text mentions ``flytepath``; :func:`config_files` looks closer.

    Args:
        start: the folder to walk up from; the current one by default.
        home_folder: takes the place of :func:`home`.

    Raises:
        ConfigError: ``FLYTEPATH_CONFIG`` names a file that cannot be read.
    """
    named = os.environ.get(f"{ENV_PREFIX}CONFIG")
    found = [_named(named)] if named else _walk_up(start or Path.cwd())
    in_home = _read((home_folder or home()) / FILE_NAME)
    if in_home is not None and all(item.path != in_home.path for item in found):
        found.append(in_home)
    return tuple(found)


def config_files(start: Path | None = None, home_folder: Path | None = None) -> tuple[ConfigFile, ...]:
    """The files that decide, strongest first.

    Args:
        start: the folder to walk up from; the current one by default.
        home_folder: takes the place of :func:`home`.

    Raises:
        ConfigError: ``FLYTEPATH_CONFIG`` names no readable file, or a file that could decide is no TOML.
    """
    from flytepath.config.settings import has_table

    chosen: list[ConfigFile] = []
    for item in candidate_files(start, home_folder):
        if item.table and (any(other.table for other in chosen) or not has_table(item)):
            continue
        chosen.append(item)
    return tuple(chosen)


def pickle_forbidden_by() -> str | None:
    """Where ``types.allow_pickle = false`` is said; ``None`` where values may be pickled.

    Nothing is parsed unless a file or a variable mentions the key: this is asked when a type is defined.
    """
    key = ("types", "allow_pickle")
    mentioned = any(b"allow_pickle" in item.content for item in candidate_files())
    if not mentioned and not any("ALLOW_PICKLE" in name.upper() for name, _ in setting_variables()):
        return None
    from flytepath.config.settings import load_configuration

    configuration = load_configuration()
    return None if configuration.get(*key, default=True) else configuration.place(*key)


def database_url(start: Path | None = None, home_folder: Path | None = None) -> str | None:
    """Where the database is: ``$FLYTEPATH_DATABASE``, else ``database`` in the ``[store]`` table of a file.

    ``None`` where neither says anything: then it is a file in the home. No file is parsed unless one mentions the key.

    Args:
        start: the folder whose configuration is meant; the current one by default.
        home_folder: takes the place of :func:`home`.

    Raises:
        ConfigError: a configuration file or variable is wrong.
    """
    named = os.environ.get(DATABASE_VARIABLE)
    if named:
        return named
    if not any(b"database" in item.content for item in candidate_files(start, home_folder)):
        return None
    from flytepath.config.settings import load_configuration

    found = load_configuration(start, home_folder).get("store", "database")
    return str(found) if found else None


def shared_blobs(start: Path | None = None, home_folder: Path | None = None) -> str | None:
    """Where every machine finds the blobs: ``$FLYTEPATH_BLOBS``, else ``blobs`` in the ``[store]`` table of a file.

    A URL that fsspec knows, or the path of a folder that all machines share. ``None`` where neither says anything: then
    they lie in the home, for this machine alone. No file is parsed unless one mentions the key.

    Raises:
        ConfigError: a configuration file or variable is wrong.
    """
    named = os.environ.get(BLOBS_VARIABLE)
    if not named and any(b"blobs" in item.content for item in candidate_files(start, home_folder)):
        from flytepath.config.settings import load_configuration

        named = load_configuration(start, home_folder).get("store", "blobs")
    if not named:
        return None
    return named.rstrip("/") if "://" in named else os.path.abspath(os.path.expanduser(named))  # noqa: PTH100, PTH111


def blob_root(home_folder: Path) -> str:
    """Where the blobs of a home lie: the shared place, or else a folder in it."""
    return shared_blobs(home_folder=home_folder) or str(home_folder / "blobs")


def task_backends(project: str, domain: str) -> dict[str, str]:
    """Where tasks run, by their type: ``[task_backends]``, under that of the project, under that of its domain.

    Raises:
        ConfigError: a configuration file or variable is wrong.
    """
    if not any(b"task_backends" in item.content for item in candidate_files()):
        return {}
    from flytepath.config.settings import load_configuration

    configuration = load_configuration()
    found: dict[str, str] = {}
    of_project = ("projects", project)
    for level in ((), of_project, (*of_project, "domains", domain)):
        found.update(configuration.get(*level, "task_backends", default={}))
    return found


def shared_place(project: str, domain: str, home_folder: Path) -> str:
    """Where files of a tenant lie that every machine must find; empty where nothing is shared."""
    shared = shared_blobs(home_folder=home_folder)
    return "" if shared is None else f"{shared}/{project}/{domain}"


def setting_variables() -> list[tuple[str, str]]:
    """The environment variables that are configuration keys, sorted."""
    return sorted((name, value) for name, value in os.environ.items() if name.upper().startswith(SETTING_PREFIXES))


def _walk_up(start: Path) -> list[ConfigFile]:
    ours: list[ConfigFile] = []
    projects: list[ConfigFile] = []
    start = Path(os.path.abspath(start))  # noqa: PTH100 - resolve() would leave the path that the user sees
    for folder in (start, *start.parents):
        if not ours:
            ours += [item for item in [_read(folder / FILE_NAME)] if item]
        item = _read(folder / PROJECT_FILE, ("tool", "flytepath"))
        if item and b"flytepath" in item.content:
            projects.append(item)
    return ours + projects


def _read(path: Path, table: tuple[str, ...] = ()) -> ConfigFile | None:
    try:
        return ConfigFile(path, path.read_bytes(), table)
    except (FileNotFoundError, NotADirectoryError, PermissionError, IsADirectoryError):
        return None


def _named(name: str) -> ConfigFile:
    path = Path(os.path.abspath(os.path.expanduser(name)))  # noqa: PTH100, PTH111
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{ENV_PREFIX}CONFIG names a file that cannot be read: {error.strerror}",
            place=str(path),
            hint=f"correct or unset {ENV_PREFIX}CONFIG",
        ) from error
    return ConfigFile(path, content, ("tool", "flytepath") if path.name == PROJECT_FILE else ())
