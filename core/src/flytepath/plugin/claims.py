"""Claims: what plugins provide, under which keys two of them would collide, and who wins."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Any
_DECLARATIONS: Final = "flytepath.plugin.declarations"

#: The hook -> the name of its declaration class. As in ``hookspecs``, which costs pluggy's import; the classes
#: themselves are imported when the first declaration is read.
CLASS_OF: Final[Mapping[str, str]] = {
    "flytepath_task_types": "TaskTypeDeclaration",
    "flytepath_transformers": "TransformerDeclaration",
    "flytepath_dataframe_codecs": "DataframeCodecDeclaration",
    "flytepath_boundary_checks": "BoundaryCheckDeclaration",
    "flytepath_task_wrappers": "TaskWrapperDeclaration",
    "flytepath_resource_policies": "ResourcePolicyDeclaration",
    "flytepath_backends": "BackendDeclaration",
    "flytepath_renderers": "RendererDeclaration",
    "flytepath_secret_providers": "SecretProviderDeclaration",
    "flytepath_blob_stores": "BlobStoreDeclaration",
    "flytepath_event_sinks": "EventSinkDeclaration",
    "flytepath_deck_renderers": "DeckRendererDeclaration",
    "flytepath_cli_commands": "CliCommandDeclaration",
    "flytepath_migrations": "MigrationDeclaration",
}
_NESTED: Final[Mapping[str, str]] = {
    "applies_to": "AppliesTo",
    "poll": "PollPolicy",
    "rate_limits": "RateLimit",
    "pools": "PoolDeclaration",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A declaration and who made it."""

    declaration: Any
    plugin: str
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class Claimant:
    """One side of a conflict."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Several plugins claim one thing.

    Args:
        key: what, as ``kind:name``; also the key of the route that decides.
        claimants: who, sorted by distribution.
        decided_by: what decided: a route's place, or ``core``; ``None`` while nothing did, so that its use is an error.
        winner: the distribution that provides it; empty while undecided.
    """

    key: str
    claimants: tuple[Claimant, ...]
    decided_by: str | None = None
    winner: str = ""


def claim_keys(hook: str, fields: Mapping[str, Json]) -> tuple[str, ...]:
    """The keys under which a declaration can collide with another plugin's; empty where many may coexist.

    Example:
        >>> claim_keys("flytepath_task_types", {"name": "spark", "config": "flyte_plugin_spark.task:Spark"})
        ('task-type:spark', 'config:flyte_plugin_spark.task.Spark')
    """
    match hook:
        case "flytepath_task_types":
            config = fields.get("config", "")
            return (f"task-type:{fields['name']}", *([f"config:{config.replace(':', '.')}"] if config else []))
        case "flytepath_transformers":
            return tuple(f"python-type:{name}" for name in fields["python_types"])
        case "flytepath_dataframe_codecs":
            return (f"dataframe-codec:{fields['frame_type']},{fields.get('scheme', '')},{fields.get('format', '')}",)
        case "flytepath_boundary_checks":
            return (f"boundary-check:{fields['marker']}",)
        case "flytepath_backends":
            return (f"backend:{fields['name']}",)
        case "flytepath_renderers":
            return (f"renderer:{fields['task_type']}/{fields['backend']}",)
        case "flytepath_secret_providers":
            return (f"secret-provider:{fields['scheme']}",)
        case "flytepath_blob_stores":
            return (f"blob-store:{fields['scheme']}",)
        case "flytepath_deck_renderers":
            return (f"deck-renderer:{fields['python_type']}",)
        case "flytepath_cli_commands":
            return (f"cli-command:{fields['name']}",)
    return ()


def to_plain(declaration: Any) -> dict[str, Json]:
    """A declaration's fields as plain data, without those that have their default."""
    import dataclasses

    plain: dict[str, Json] = {}
    for field in dataclasses.fields(declaration):
        value = getattr(declaration, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if value != default:
            plain[field.name] = _plain(value)
    return plain


def _plain(value: Any) -> Json:
    import dataclasses

    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def from_plain(hook: str, fields: Mapping[str, Json]) -> Any:
    """The declaration that :func:`to_plain` took apart.

    Example:
        >>> data = {"scheme": "vault", "provider": "vaults:Vault"}
        >>> from_plain("flytepath_secret_providers", data).scheme
        'vault'
    """
    kind = _class(CLASS_OF[hook])
    return kind(**{name: _rebuilt(value, _NESTED.get(name)) for name, value in fields.items()})


def _class(name: str) -> type[Any]:
    found: type[Any] = getattr(importlib.import_module(_DECLARATIONS), name)
    return found


def _rebuilt(value: Json, kind: str | None) -> Any:
    if isinstance(value, list):
        return tuple(_rebuilt(item, kind) for item in value)
    if isinstance(value, dict) and kind is not None:
        return _class(kind)(**{name: _rebuilt(item, None) for name, item in value.items()})
    return value
