"""A manifest of ordinary size; the kit compares a plugin's import time with it, so that slow machines judge fairly."""

from __future__ import annotations

from flytepath.plugin import TaskTypeDeclaration, TransformerDeclaration, hookimpl


@hookimpl
def flytepath_task_types() -> list[TaskTypeDeclaration]:
    """One task type."""
    return [
        TaskTypeDeclaration(name="reference", task_type="reference.task:ReferenceTask", config="reference.task:Config")
    ]


@hookimpl
def flytepath_transformers() -> list[TransformerDeclaration]:
    """One transformer."""
    return [
        TransformerDeclaration(
            python_types=("reference.model.Thing",), transformer="reference.types:ThingTransformer", format="reference"
        )
    ]
