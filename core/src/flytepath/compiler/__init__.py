"""From authoring to closed specs: every task a workflow calls, every constant a literal, nothing left of Python."""

from __future__ import annotations

from flytepath.compiler.entities import compile_dynamic, compile_entity
from flytepath.compiler.inputs import parse_inputs
from flytepath.compiler.launch_plans import compile_launch_plan
from flytepath.compiler.tasks import compile_task, entry_of

__all__ = [
    "compile_dynamic",
    "compile_entity",
    "compile_launch_plan",
    "compile_task",
    "entry_of",
    "parse_inputs",
]
