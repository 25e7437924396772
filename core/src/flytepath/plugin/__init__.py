"""The contract with plugins. Everything a plugin may import stands here; names are resolved on first use.

A plugin is a distribution with one entry point in the group ``flytepath.v1``, whose value is its manifest module:

.. code-block:: toml

    [project.entry-points."flytepath.v1"]
    spark = "flyte_plugin_spark.plugin"

The manifest's functions, marked with :func:`hookimpl`, return declarations: names and ``"module:attribute"``
references. It imports nothing but this package, so that reading it costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flytepath.plugin.hookimpl import hookimpl

if TYPE_CHECKING:
    from flytepath.bundle import needs_files
    from flytepath.errors import (
        BoundaryCheckError,
        DefinitionError,
        FlytePathError,
        RecoverableError,
        TaskFailedError,
        TypeTransformerFailedError,
        WorkerError,
    )
    from flytepath.model.identity import Tenant
    from flytepath.model.literal import BlobRef, Literal
    from flytepath.model.resources import Resources
    from flytepath.model.types import Field, LiteralType
    from flytepath.plugin.backend import (
        Backend,
        BackendError,
        BlobAccess,
        ErrorClass,
        Found,
        Gone,
        Handle,
        InProgress,
        ItemPhases,
        LogChunk,
        NotFound,
        NotOurs,
        Observation,
        OwnedJob,
        OwnedPage,
        Phase,
        Terminal,
        Unknown,
    )
    from flytepath.plugin.boundary import BoundaryChecker, BoundaryContext, BoundaryReport
    from flytepath.plugin.contract import CONTRACT_MAJOR, CONTRACT_MINOR, ENTRY_POINT_GROUP
    from flytepath.plugin.declarations import (
        AppliesTo,
        BackendDeclaration,
        BlobStoreDeclaration,
        BoundaryCheckDeclaration,
        CliCommandDeclaration,
        DataframeCodecDeclaration,
        DeckRendererDeclaration,
        EventSinkDeclaration,
        MigrationDeclaration,
        PollPolicy,
        PoolDeclaration,
        RateLimit,
        RendererDeclaration,
        ResourcePolicyDeclaration,
        SecretProviderDeclaration,
        TaskTypeDeclaration,
        TaskWrapperDeclaration,
        TransformerDeclaration,
    )
    from flytepath.plugin.extensions import (
        BlobStore,
        DataframeDecoder,
        DataframeEncoder,
        DeckRenderer,
        EventSink,
        Renderer,
        RenderRequest,
        ResourcePolicy,
        ResourceRequest,
        TaskWrapper,
    )
    from flytepath.plugin.lazy import lazy_names
    from flytepath.plugin.manager import PluginManager
    from flytepath.plugin.plans import JobKey, Owner, Plan, PlanRequest, PoolAsk, WorkerLaunch
    from flytepath.plugin.policy import Policy
    from flytepath.plugin.secrets import SecretNotFoundError, SecretProvider, SecretReference
    from flytepath.plugin.sql import Identifier, Statement, compile_sql, render_sql
    from flytepath.plugin.task_type import NO_OUTPUT, CallBody, CarriedAttempt, TaskContext, TaskDeclaration, TaskType
    from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, TypeTransformer
    from flytepath.plugin.variables import variables_set

_ROOMS = {
    "flytepath.bundle": "needs_files",
    "flytepath.errors": (
        "BoundaryCheckError DefinitionError FlytePathError RecoverableError TaskFailedError TypeTransformerFailedError "
        "WorkerError"
    ),
    "flytepath.model.identity": "Tenant",
    "flytepath.model.literal": "BlobRef Literal",
    "flytepath.model.resources": "Resources",
    "flytepath.model.types": "Field LiteralType",
    "flytepath.plugin.contract": "CONTRACT_MAJOR CONTRACT_MINOR ENTRY_POINT_GROUP",
    "flytepath.plugin.declarations": (
        "AppliesTo BackendDeclaration BlobStoreDeclaration BoundaryCheckDeclaration CliCommandDeclaration "
        "DataframeCodecDeclaration DeckRendererDeclaration EventSinkDeclaration MigrationDeclaration PollPolicy "
        "PoolDeclaration RateLimit RendererDeclaration ResourcePolicyDeclaration SecretProviderDeclaration "
        "TaskTypeDeclaration TaskWrapperDeclaration TransformerDeclaration"
    ),
    "flytepath.plugin.sql": "Identifier Statement compile_sql render_sql",
    "flytepath.plugin.task_type": "NO_OUTPUT CallBody CarriedAttempt TaskContext TaskDeclaration TaskType",
    "flytepath.plugin.transformer": "BlobSink BlobSource Converter TypeTransformer",
    "flytepath.plugin.backend": (
        "Backend BackendError BlobAccess ErrorClass Found Gone Handle InProgress ItemPhases LogChunk NotFound NotOurs "
        "Observation OwnedJob OwnedPage Phase Terminal Unknown"
    ),
    "flytepath.plugin.boundary": "BoundaryChecker BoundaryContext BoundaryReport",
    "flytepath.plugin.extensions": (
        "BlobStore DataframeDecoder DataframeEncoder DeckRenderer EventSink Renderer RenderRequest ResourcePolicy "
        "ResourceRequest TaskWrapper"
    ),
    "flytepath.plugin.plans": "JobKey Owner Plan PlanRequest PoolAsk WorkerLaunch",
    "flytepath.plugin.secrets": "SecretNotFoundError SecretProvider SecretReference",
    "flytepath.plugin.lazy": "lazy_names",
    "flytepath.plugin.variables": "variables_set",
    "flytepath.plugin.manager": "PluginManager",
    "flytepath.plugin.policy": "Policy",
}
_HOME_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "CONTRACT_MAJOR",
    "CONTRACT_MINOR",
    "ENTRY_POINT_GROUP",
    "NO_OUTPUT",
    "AppliesTo",
    "Backend",
    "BackendDeclaration",
    "BackendError",
    "BlobAccess",
    "BlobRef",
    "BlobSink",
    "BlobSource",
    "BlobStore",
    "BlobStoreDeclaration",
    "BoundaryCheckDeclaration",
    "BoundaryCheckError",
    "BoundaryChecker",
    "BoundaryContext",
    "BoundaryReport",
    "CallBody",
    "CarriedAttempt",
    "CliCommandDeclaration",
    "Converter",
    "DataframeCodecDeclaration",
    "DataframeDecoder",
    "DataframeEncoder",
    "DeckRenderer",
    "DeckRendererDeclaration",
    "DefinitionError",
    "ErrorClass",
    "EventSink",
    "EventSinkDeclaration",
    "Field",
    "FlytePathError",
    "Found",
    "Gone",
    "Handle",
    "Identifier",
    "InProgress",
    "ItemPhases",
    "JobKey",
    "Literal",
    "LiteralType",
    "LogChunk",
    "MigrationDeclaration",
    "NotFound",
    "NotOurs",
    "Observation",
    "OwnedJob",
    "OwnedPage",
    "Owner",
    "Phase",
    "Plan",
    "PlanRequest",
    "PluginManager",
    "Policy",
    "PollPolicy",
    "PoolAsk",
    "PoolDeclaration",
    "RateLimit",
    "RecoverableError",
    "RenderRequest",
    "Renderer",
    "RendererDeclaration",
    "ResourcePolicy",
    "ResourcePolicyDeclaration",
    "ResourceRequest",
    "Resources",
    "SecretNotFoundError",
    "SecretProvider",
    "SecretProviderDeclaration",
    "SecretReference",
    "Statement",
    "TaskContext",
    "TaskDeclaration",
    "TaskFailedError",
    "TaskType",
    "TaskTypeDeclaration",
    "TaskWrapper",
    "TaskWrapperDeclaration",
    "Tenant",
    "Terminal",
    "TransformerDeclaration",
    "TypeTransformer",
    "TypeTransformerFailedError",
    "Unknown",
    "WorkerError",
    "WorkerLaunch",
    "compile_sql",
    "hookimpl",
    "lazy_names",
    "needs_files",
    "render_sql",
    "variables_set",
]


def __getattr__(name: str) -> Any:
    room = _HOME_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(room), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
