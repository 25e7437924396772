"""The hooks. Each takes nothing and returns a list of declarations; a manifest implements those it needs."""

from __future__ import annotations

from typing import Final

import pluggy

from flytepath.plugin.declarations import (
    BackendDeclaration,
    BlobStoreDeclaration,
    BoundaryCheckDeclaration,
    CliCommandDeclaration,
    DataframeCodecDeclaration,
    DeckRendererDeclaration,
    EventSinkDeclaration,
    MigrationDeclaration,
    RendererDeclaration,
    ResourcePolicyDeclaration,
    SecretProviderDeclaration,
    TaskTypeDeclaration,
    TaskWrapperDeclaration,
    TransformerDeclaration,
)
from flytepath.plugin.hookimpl import PROJECT

hookspec = pluggy.HookspecMarker(PROJECT)

#: Which class of declaration each hook returns.
DECLARATION_OF: Final[dict[str, type]] = {
    "flytepath_task_types": TaskTypeDeclaration,
    "flytepath_transformers": TransformerDeclaration,
    "flytepath_dataframe_codecs": DataframeCodecDeclaration,
    "flytepath_boundary_checks": BoundaryCheckDeclaration,
    "flytepath_task_wrappers": TaskWrapperDeclaration,
    "flytepath_resource_policies": ResourcePolicyDeclaration,
    "flytepath_backends": BackendDeclaration,
    "flytepath_renderers": RendererDeclaration,
    "flytepath_secret_providers": SecretProviderDeclaration,
    "flytepath_blob_stores": BlobStoreDeclaration,
    "flytepath_event_sinks": EventSinkDeclaration,
    "flytepath_deck_renderers": DeckRendererDeclaration,
    "flytepath_cli_commands": CliCommandDeclaration,
    "flytepath_migrations": MigrationDeclaration,
}


@hookspec
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Kinds of tasks: name, configuration class, :class:`~flytepath.plugin.TaskType`, default backend."""
    raise NotImplementedError


@hookspec
def flytepath_transformers() -> list[TransformerDeclaration]:
    """Python types this plugin turns into literals and back."""
    raise NotImplementedError


@hookspec
def flytepath_dataframe_codecs() -> list[DataframeCodecDeclaration]:
    """Encoders and decoders of frames by (frame type, scheme, format)."""
    raise NotImplementedError


@hookspec
def flytepath_boundary_checks() -> list[BoundaryCheckDeclaration]:
    """Checks of values as they enter or leave a task."""
    raise NotImplementedError


@hookspec
def flytepath_task_wrappers() -> list[TaskWrapperDeclaration]:
    """Context managers around a task's call: experiment trackers, profilers."""
    raise NotImplementedError


@hookspec
def flytepath_resource_policies() -> list[ResourcePolicyDeclaration]:
    """Functions that change or refuse a resource request; what they did is an event."""
    raise NotImplementedError


@hookspec
def flytepath_backends() -> list[BackendDeclaration]:
    """Services that run jobs."""
    raise NotImplementedError


@hookspec
def flytepath_renderers() -> list[RendererDeclaration]:
    """How a task type becomes a job of a backend."""
    raise NotImplementedError


@hookspec
def flytepath_secret_providers() -> list[SecretProviderDeclaration]:
    """Sources of secrets, by scheme."""
    raise NotImplementedError


@hookspec
def flytepath_blob_stores() -> list[BlobStoreDeclaration]:
    """Stores of blobs, by URI scheme."""
    raise NotImplementedError


@hookspec
def flytepath_event_sinks() -> list[EventSinkDeclaration]:
    """Listeners to the event log."""
    raise NotImplementedError


@hookspec
def flytepath_deck_renderers() -> list[DeckRendererDeclaration]:
    """How values look in a deck, by type."""
    raise NotImplementedError


@hookspec
def flytepath_cli_commands() -> list[CliCommandDeclaration]:
    """Sub-commands of ``flytepath``."""
    raise NotImplementedError


@hookspec
def flytepath_migrations() -> list[MigrationDeclaration]:
    """The plugin's rows of the flytekit migration table."""
    raise NotImplementedError
