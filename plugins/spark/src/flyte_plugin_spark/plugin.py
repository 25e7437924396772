"""The manifest: what this plugin gives, as names. It imports nothing but the contract."""

from __future__ import annotations

from flytepath.plugin import TaskTypeDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """None yet."""
    return []
