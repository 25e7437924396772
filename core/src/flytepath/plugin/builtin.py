"""Core's own manifest: built-ins come in by the same door as plugins."""

from __future__ import annotations

from typing import Any, cast

from flytepath.plugin.builtin_types import BUILTIN_TRANSFORMERS
from flytepath.plugin.declarations import (
    BlobStoreDeclaration,
    SecretProviderDeclaration,
    TaskTypeDeclaration,
    TransformerDeclaration,
)
from flytepath.plugin.hookimpl import hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """Functions, which need no configuration: the body is called and nothing else happens. And bodies that are none."""
    return [
        TaskTypeDeclaration(name="python", task_type="flytepath.plugin.task_type:TaskType"),
        TaskTypeDeclaration(
            name="shell",
            task_type="flytepath.authoring.kinds.shell:ShellTaskType",
            config="flytepath.authoring.kinds.shell:ShellConfig",
            plain_worker=True,
        ),
        TaskTypeDeclaration(
            name="container",
            task_type="flytepath.authoring.kinds.container:ContainerTaskType",
            config="flytepath.authoring.kinds.container:ContainerConfig",
            plain_worker=True,
        ),
        TaskTypeDeclaration(
            name="sql",
            task_type="flytepath.authoring.kinds.sql:SQLTaskType",
            config="flytepath.authoring.kinds.sql:SQLConfig",
        ),
        TaskTypeDeclaration(
            name="sqlite3",
            task_type="flytepath.authoring.kinds.sqlite:SQLite3TaskType",
            config="flytepath.authoring.kinds.sqlite:SQLite3Config",
            plain_worker=True,
        ),
    ]


@hookimpl
def flytepath_transformers() -> list[TransformerDeclaration]:
    """The Python types of core."""
    return [TransformerDeclaration(**cast(Any, row._asdict())) for row in BUILTIN_TRANSFORMERS]


@hookimpl
def flytepath_blob_stores() -> list[BlobStoreDeclaration]:
    """Files of this machine."""
    return [BlobStoreDeclaration(scheme="file", store="flytepath.store.blobs:FileBlobStore")]


@hookimpl
def flytepath_secret_providers() -> list[SecretProviderDeclaration]:
    """Environment variables, files, and the keyring of the user."""
    room = "flytepath.engine.secrets"
    return [
        SecretProviderDeclaration(scheme="env", provider=f"{room}.environment:EnvironmentSecrets"),
        SecretProviderDeclaration(scheme="file", provider=f"{room}.files:FileSecrets"),
        SecretProviderDeclaration(scheme="keyring", provider=f"{room}.keyrings:KeyringSecrets"),
    ]
