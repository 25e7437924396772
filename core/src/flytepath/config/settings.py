"""What configuration says: the files and variables read, checked by model, and merged key by key with their origins."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from flytepath.config import ENV_PREFIX, ConfigFile, config_files, setting_variables
from flytepath.errors import ConfigError

Json = Any
Key = tuple[str, ...]
_DELIMITER: Final = "__"
ENVIRONMENT: Final = "environment"


def _from_text(value: Json, info: ValidationInfo) -> Json:
    """A variable holds a list as JSON or separated by commas; in a file, text is not a list."""
    if isinstance(value, str) and info.context == ENVIRONMENT:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _one_or_more(value: Json, info: ValidationInfo) -> Json:
    """One name may stand for a list of one, in a file too."""
    return [value] if isinstance(value, str) and info.context != ENVIRONMENT else _from_text(value, info)


Names = Annotated[list[str], BeforeValidator(_from_text)]
Schemes = Annotated[list[str], BeforeValidator(_one_or_more), Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PluginRules(_Section):
    """Which plugins are enabled, by entry-point name with ``*`` and ``?``."""

    allow: Names | None = None
    deny: Names | None = None


class PluginSettings(PluginRules):
    """The ``[plugins]`` table."""

    strict: bool = False
    import_timeout: float = Field(default=10.0, gt=0)
    pins: Names = []
    routes: dict[str, str] = {}


class SecretSettings(_Section):
    """The ``[secrets]`` table: the schemes that are asked for a secret, in order, and the folder of those in files."""

    default: Schemes | None = None
    folder: str | None = None


#: ``[backends.<name>]``: the settings of a backend, which its plugin checks.
BackendTables = dict[str, dict[str, Any]]
#: ``[task_backends]``: where tasks of a type run unless they say so themselves.
TaskBackends = dict[str, Annotated[str, Field(min_length=1)]]


class DomainSettings(_Section):
    """The ``[projects.<project>.domains.<domain>]`` table."""

    plugins: PluginRules = PluginRules()
    secrets: SecretSettings = SecretSettings()
    backends: BackendTables = {}
    task_backends: TaskBackends = {}


class ProjectSettings(_Section):
    """The ``[projects.<project>]`` table."""

    plugins: PluginRules = PluginRules()
    secrets: SecretSettings = SecretSettings()
    backends: BackendTables = {}
    task_backends: TaskBackends = {}
    domains: dict[str, DomainSettings] = {}


class TypeSettings(_Section):
    """The ``[types]`` table."""

    allow_pickle: bool = True


class StoreSettings(_Section):
    """The ``[store]`` table."""

    database: str | None = None
    blobs: str | None = None


class PoolUse(_Section):
    """The ``applies_to`` of a pool: tasks that ask for its tokens without saying so. An empty list means "all"."""

    task_types: Names = []
    backends: Names = []
    tasks: Names = []


_LABEL: Final = "[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_TENANT: Final = re.compile(f"{_LABEL}(?:/{_LABEL})?")


def _is_tenant(name: str) -> str:
    if not _TENANT.fullmatch(name):
        raise PydanticCustomError("tenant", "a project, or project/domain")
    return name


#: ``project`` or ``project/domain``.
TenantKey = Annotated[str, AfterValidator(_is_tenant)]


class PoolSettings(_Section):
    """A ``[pools.<name>]`` table: how much there is of something that is shared, and for whom.

    ``weights`` and ``caps`` are by ``project`` or ``project/domain``. ``tokens`` is how many each task asks for that
    ``applies_to`` names.
    """

    limit: int | None = Field(default=None, ge=0)
    tokens: int = Field(default=1, ge=1)
    weights: dict[TenantKey, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    caps: dict[TenantKey, Annotated[int, Field(ge=0)]] = {}
    applies_to: PoolUse | None = None


class LocalSettings(_Section):
    """The ``[local]`` table: what this machine gives to tasks, where that is not all it has, and shares of tenants."""

    cpu: float | None = Field(default=None, gt=0)
    memory: str | None = None
    gpu: int | None = Field(default=None, ge=0)
    weights: dict[TenantKey, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}


class JobSettings(_Section):
    """The ``[jobs]`` table: seconds.

    ``outage``: how long a service may be away before its jobs fail of that. ``sweep``: how often it is looked for jobs
    that nobody owns, and ``grace``: how long such a job is left alone.
    """

    outage: float = Field(default=6 * 3600.0, gt=0)
    sweep: float = Field(default=300.0, gt=0)
    grace: float = Field(default=600.0, ge=0)


class Settings(_Section):
    """A whole file."""

    plugins: PluginSettings = PluginSettings()
    projects: dict[str, ProjectSettings] = {}
    types: TypeSettings = TypeSettings()
    store: StoreSettings = StoreSettings()
    secrets: SecretSettings = SecretSettings()
    pools: dict[Annotated[str, Field(min_length=1, max_length=255)], PoolSettings] = {}
    local: LocalSettings = LocalSettings()
    backends: BackendTables = {}
    task_backends: TaskBackends = {}
    jobs: JobSettings = JobSettings()


class _Variables(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter=_DELIMITER)

    plugins: PluginSettings = PluginSettings()
    projects: dict[str, ProjectSettings] = {}
    types: TypeSettings = TypeSettings()


class _VariableSource(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo | None, value: Any) -> Any:
        try:
            return json.loads(value)
        except ValueError:
            return value  # a list may be separated by commas; the model refuses any other text


@dataclass(frozen=True, slots=True)
class Configuration:
    """What all layers together say.

    Args:
        values: the merged tables; only what was said, no defaults.
        origins: for each key that was said, the file, or the environment variable, that decided it.
    """

    values: Mapping[str, Json]
    origins: Mapping[Key, str]

    def get(self, *key: str, default: Json = None) -> Json:
        """The value of a key, or ``default``."""
        found: Json = self.values
        for part in key:
            if not isinstance(found, Mapping) or part not in found:
                return default
            found = found[part]
        return found

    def place(self, *key: str) -> str:
        """Where a key was said, for people: the file and the key, or the variable."""
        origin = self.origins.get(key)
        if origin is None:
            return f"default of {dotted(key)}"
        return origin if origin.startswith(ENV_PREFIX) else f"{origin}: {dotted(key)}"


def dotted(key: Key) -> str:
    """A key as it is written in TOML.

    Example:
        >>> dotted(("plugins", "routes", "task-type:spark"))
        'plugins.routes."task-type:spark"'
    """
    return ".".join(part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"' for part in key)


def variable(key: Key) -> str:
    """The environment variable of a key."""
    return ENV_PREFIX + _DELIMITER.join(key).upper()


def load_configuration(start: Path | None = None, home_folder: Path | None = None) -> Configuration:
    """Read and merge every layer.

    Args:
        start: the folder whose configuration is meant; the current one by default.
        home_folder: takes the place of :func:`flytepath.config.home`.

    Raises:
        ConfigError: a file is no TOML, or a file or variable holds an unknown key or a value of the wrong type.
    """
    values: dict[str, Json] = {}
    origins: dict[Key, str] = {}
    for item in reversed(config_files(start, home_folder)):
        _merge(values, origins, _read_file(item), lambda _key, path=str(item.path): path)
    _merge(values, origins, _read_environment(), variable)
    return Configuration(values, origins)


def has_table(item: ConfigFile) -> bool:
    """Whether a file has the table that would hold configuration."""
    return _table(item) is not None


def _table(item: ConfigFile) -> dict[str, Json] | None:
    try:
        found: Json = tomllib.loads(item.content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"not a TOML file: {error}", place=str(item.path), hint="correct the file; nothing of it was used"
        ) from error
    for part in item.table:
        found = found.get(part)
        if not isinstance(found, dict):
            return None
    return cast("dict[str, Json]", found)


def _read_file(item: ConfigFile) -> dict[str, Json]:
    try:
        model = Settings.model_validate(_table(item) or {}, strict=True)
    except ValidationError as error:
        raise _config_error(error, lambda key: f"{item.path}: {dotted((*item.table, *key))}") from error
    return model.model_dump(exclude_unset=True)


def _read_environment() -> dict[str, Json]:
    if not setting_variables():
        return {}
    try:
        model = Settings.model_validate(_VariableSource(_Variables)(), context=ENVIRONMENT)
    except ValidationError as error:
        raise _config_error(error, variable) from error
    return model.model_dump(exclude_unset=True)


def _merge(values: dict[str, Json], origins: dict[Key, str], layer: Mapping[str, Json], origin: Any) -> None:
    def descend(into: dict[str, Json], found: Mapping[str, Json], at: Key) -> None:
        for name, value in found.items():
            key = (*at, name)
            if isinstance(value, Mapping):
                descend(into.setdefault(name, {}), value, key)
            elif value is not None:
                into[name] = value
                origins[key] = origin(key)

    descend(values, layer, ())


def _config_error(error: ValidationError, place: Any) -> ConfigError:
    """The first finding as an error that names the key; further ones are counted."""
    findings = error.errors(include_url=False)
    first = findings[0]
    key = tuple(str(part) for part in first["loc"] if not isinstance(part, int))
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    if first["type"] == "extra_forbidden":
        valid = _valid_names(key[:-1])
        close = difflib.get_close_matches(key[-1].lower(), valid, n=1, cutoff=0.4)
        suggestion = f"did you mean {close[0]!r}? " if close else ""
        return ConfigError(
            f"unknown key {key[-1]!r}{more}",
            place=place(key),
            expected=f"one of {', '.join(valid)}",
            actual=key[-1],
            hint=f"{suggestion}docs/policy.md describes every key",
        )
    return ConfigError(
        f"{dotted(key)} has a value of the wrong kind{more}",
        place=place(key),
        expected=first["msg"][0].lower() + first["msg"][1:],
        actual=repr(first["input"])[:200],
        hint="docs/policy.md describes every key",
    )


def _valid_names(key: Key) -> list[str]:
    """The names of the fields at a place in the settings."""
    if key[:1] == ("plugins",):
        return list(PluginSettings.model_fields)
    if key[:1] == ("types",):
        return list(TypeSettings.model_fields)
    if key[:1] == ("store",):
        return list(StoreSettings.model_fields)
    if key[:1] == ("local",):
        return list(LocalSettings.model_fields)
    if key[:1] == ("jobs",):
        return list(JobSettings.model_fields)
    if key[:1] == ("pools",):
        return list((PoolUse if "applies_to" in key[2:] else PoolSettings).model_fields)
    if key[:1] == ("secrets",):
        return list(SecretSettings.model_fields)
    if key[:1] == ("projects",):
        if "plugins" in key[2:]:
            return list(PluginRules.model_fields)
        if "secrets" in key[2:]:
            return list(SecretSettings.model_fields)
        return list((DomainSettings if "domains" in key[2:] else ProjectSettings).model_fields)
    return list(Settings.model_fields)
