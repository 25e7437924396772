"""Editing the policy: one plugin in or out of ``allow`` and ``deny``, with comments and layout kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flytepath.errors import ConfigError

Json = Any


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """The file to edit; ``table`` is where in it the configuration begins."""

    path: Path
    table: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """What was, or was not, changed: lines for people."""

    path: Path
    changes: tuple[str, ...]


def policy_file(named: Path | None = None) -> PolicyFile:
    """The file that decides here: the one named, the nearest ``flytepath.toml``, the ``[tool.flytepath]`` of a project.

    Where there is none, it is a ``flytepath.toml`` to be created in the current folder; the one in the home folder
    speaks for all projects, so it is only edited when it is named.
    """
    from flytepath.config import FILE_NAME, PROJECT_FILE, config_files, home

    if named is not None:
        return PolicyFile(named, ("tool", "flytepath") if named.name == PROJECT_FILE else ())
    nearest = next((item for item in config_files() if item.path != home() / FILE_NAME), None)
    return PolicyFile(nearest.path, nearest.table) if nearest else PolicyFile(Path.cwd() / FILE_NAME)


def enable(target: PolicyFile, name: str) -> Edit:
    """Let ``name`` be enabled, whatever the lists say of it now."""

    def decide(allow: list[str] | None, deny: list[str] | None) -> tuple[list[str] | None, list[str] | None]:
        if deny is not None and name in deny:
            deny = [entry for entry in deny if entry != name]
        if not _allowed(name, allow, deny):
            # Naming it beats the wildcard that denies it; where nothing was listed, everything else stays allowed.
            allow = [*(["*"] if allow is None else allow), name]
        return allow, deny

    return _edit(target, decide)


def disable(target: PolicyFile, name: str) -> Edit:
    """Let ``name`` be denied, whatever the lists say of it now."""

    def decide(allow: list[str] | None, deny: list[str] | None) -> tuple[list[str] | None, list[str] | None]:
        if allow is not None and name in allow:
            allow = [entry for entry in allow if entry != name]
        if _allowed(name, allow, deny):
            deny = [*(deny or []), name]
        return allow, deny

    return _edit(target, decide)


def _allowed(name: str, allow: list[str] | None, deny: list[str] | None) -> bool:
    from flytepath.plugin.policy import Level, NameList, Policy

    def rule(names: list[str] | None) -> NameList | None:
        return None if names is None else NameList(tuple(names))

    return Policy(root=Level(rule(allow), rule(deny))).enabled(name)


def _edit(
    target: PolicyFile,
    decide: Callable[[list[str] | None, list[str] | None], tuple[list[str] | None, list[str] | None]],
) -> Edit:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    path = target.path.resolve()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the policy file: {error}", place=str(path), hint="nothing was changed"
        ) from error
    try:
        document = tomlkit.parse(text)
    except (TOMLKitError, ValueError) as error:
        raise ConfigError(
            f"not a TOML file: {error}", place=str(path), hint="correct the file; nothing of it was changed"
        ) from error
    plugins = _table(document, (*target.table, "plugins"), path)
    before = {key: _names(plugins, key, path) for key in ("allow", "deny")}
    inherited = {key: names if names is not None else _inherited(key, path) for key, names in before.items()}
    allow, deny = decide(inherited["allow"], inherited["deny"])
    changes: list[str] = []
    for key, names in (("allow", allow), ("deny", deny)):
        if names == inherited[key] or names is None:
            continue
        changes += _write_names(plugins, key, before[key], names)
    if changes:
        _replace(path, tomlkit.dumps(document))
    return Edit(path, tuple(changes))


def _table(document: MutableMapping[str, Any], keys: tuple[str, ...], path: Path) -> MutableMapping[str, Any]:
    import tomlkit

    found = document
    for position, key in enumerate(keys):
        if key not in found:
            # Only the last table needs a header; those above it come with its name.
            found[key] = tomlkit.table(is_super_table=position < len(keys) - 1)
        found = found[key]
        if not isinstance(found, MutableMapping):
            raise ConfigError(
                f"{'.'.join(keys[: position + 1])} is not a table",
                place=str(path),
                expected="[plugins] with the lists allow and deny",
                actual=repr(found)[:200],
                hint="correct the file; nothing of it was changed",
            )
    return found


def _names(plugins: MutableMapping[str, Any], key: str, path: Path) -> list[str] | None:
    value = plugins.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(
            f"plugins.{key} is not a list of names",
            place=str(path),
            expected=f'{key} = ["name", ...]',
            actual=repr(value)[:200],
            hint="correct the file; nothing of it was changed",
        )
    return [str(item) for item in value]


def _inherited(key: str, path: Path) -> list[str] | None:
    """What weaker files say of a list, which would be lost if this file began a list of its own without it."""
    from flytepath.config import ENV_PREFIX
    from flytepath.config.settings import load_configuration

    configuration = load_configuration()
    origin = configuration.origins.get(("plugins", key), "")
    if not origin or origin.startswith(ENV_PREFIX) or Path(origin).resolve() == path:
        return None
    names = configuration.get("plugins", key)
    return None if names is None else list(names)


def _write_names(plugins: MutableMapping[str, Any], key: str, before: list[str] | None, names: list[str]) -> list[str]:
    import tomlkit

    if before is None:
        plugins[key] = tomlkit.item(names)
        return [f"plugins.{key} = {names}"]
    array = plugins[key]
    changes = []
    for name in dict.fromkeys(before):
        while name not in names and name in array:
            array.remove(name)
            changes.append(f"plugins.{key}: removed {name!r}")
    for name in names:
        if name not in before:
            array.append(name)
            changes.append(f"plugins.{key}: added {name!r}")
    return list(dict.fromkeys(changes))


def _replace(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees the old file or the new one, whatever happens."""
    handle, temporary = -1, ""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o644
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigError(
            f"cannot write the policy file: {error.strerror}", place=str(path), hint="nothing of it was changed"
        ) from error
