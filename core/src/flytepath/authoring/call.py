"""One attempt with native values, the same in a direct call and in a worker.

The order is fixed: boundary checks of the inputs, task wrappers, ``TaskType.execute`` around the body, boundary
checks of the outputs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from flytepath.authoring.context import ExecutionContext, entered
from flytepath.errors import BoundaryCheckError, DefinitionError, FlytePathError
from flytepath.plugin.boundary import BoundaryContext, BoundaryReport
from flytepath.plugin.task_type import NO_OUTPUT, TaskType

if TYPE_CHECKING:
    from flytepath.authoring.task import Task
    from flytepath.model.identity import Tenant
    from flytepath.types.engine import Codec

log = logging.getLogger("flytepath")

#: Told of each boundary check: variable, side, checker's name, report.
OnCheck = Callable[[str, str, str, BoundaryReport], None]

_PYTHON = "python"
_task_types: dict[type[Any], TaskType] = {}


def task_type_name(task: Task) -> str:
    """The name of the task's type: ``python`` without a configuration."""
    if task.task_config is None:
        return _PYTHON
    from flytepath.plugin.manager import current

    name: str = current().task_type_for(type(task.task_config)).declaration.name
    return name


def task_type_of(task: Task) -> TaskType:
    """The task type that runs ``task``, imported when first needed."""
    kind = type(task.task_config)
    known = _task_types.get(kind)
    if known is None:
        if task.task_config is None:
            known = TaskType()
        else:
            from flytepath.plugin.manager import current

            manager = current()
            known = manager.resolve(manager.task_type_for(kind).declaration.task_type)()
        _task_types[kind] = known
    return known


def check_config(task: Task) -> None:
    """Refuse a ``task_config`` that no enabled plugin knows, at definition."""
    from flytepath.plugin.manager import current

    try:
        current().task_type_for(type(task.task_config))
    except FlytePathError as error:
        error.place = error.place or f"{task.name}(task_config)"
        raise


def check_markers(task: Task) -> None:
    """Let each boundary checker refuse a marker that can never work, at definition."""
    from flytepath.plugin.manager import current

    manager = current()
    variables = {**task.inputs, **task.outputs}
    for name, codec in (*task.input_codecs.items(), *task.output_codecs.items()):
        for marker in codec.markers:
            claim = manager.boundary_check_for(type(marker))
            if claim is None:
                continue
            try:
                manager.resolve(claim.declaration.checker)().validate_marker(marker, variables[name])
            except DefinitionError as error:
                error.place = error.place or f"{task.name}({name})"
                raise


def call_here(task: Task, inputs: dict[str, Any]) -> Any:
    """A direct call: run the attempt in this process and return what the caller expects."""
    task_type = task_type_of(task)
    if task_type.local_fidelity == "unsupported":
        raise DefinitionError(
            f"task {task.name} cannot run in a direct call",
            hint=f"its task type {task_type_name(task)!r} only runs on its backend; use `flytepath run`",
        )
    payload = task_type.compile(task.declaration()) if task.task_config is not None else None
    context = ExecutionContext(node_path=task.name, declare=task.declaration, payload=payload)
    try:
        outputs = call_attempt(task, task_type, context, inputs, _ignore)
    except Exception as error:
        error.add_note(f"in task {task.name}")
        raise
    if outputs is NO_OUTPUT:
        return None
    return task.returned({key: task.checked_output(key, value) for key, value in outputs.items()})


def _ignore(_variable: str, _side: str, _checker: str, _report: BoundaryReport) -> None:
    """Direct calls keep no record of checks."""


def call_attempt(
    task: Task, task_type: TaskType, context: ExecutionContext, inputs: dict[str, Any], on_check: OnCheck
) -> Any:
    """Run the attempt; native outputs by name, or ``NO_OUTPUT``."""
    with entered(context):
        _check_boundary(task, task.input_codecs, inputs, context, on_check, "reading")
        with ExitStack() as stack:
            for name, required, wrapper in _wrappers(task, context.tenant):
                try:
                    stack.enter_context(wrapper(context))
                except Exception:
                    if required:
                        raise
                    log.warning("task wrapper %s failed and is left out", name, exc_info=True)
            result = task_type.execute(context, inputs, task.call_body)
        if result is NO_OUTPUT:
            return NO_OUTPUT
        outputs = task.as_outputs(result)
        _check_boundary(task, task.output_codecs, outputs, context, on_check, "writing")
        return outputs


def _wrappers(task: Task, tenant: Tenant | None) -> list[tuple[str, bool, Any]]:
    from flytepath.plugin.manager import current

    manager = current()
    return [
        (claim.declaration.name, claim.declaration.required, manager.resolve(claim.declaration.wrapper))
        for claim in manager.task_wrappers(task_type_name(task), "local", tenant)
    ]


def _check_boundary(
    task: Task,
    codecs: Mapping[str, Codec[Any]],
    values: Mapping[str, Any],
    context: ExecutionContext,
    on_check: OnCheck,
    side: Any,
) -> None:
    for variable, codec in codecs.items():
        for marker in codec.markers:
            _check_marker(task, variable, values[variable], marker, context, on_check, side)


def _check_marker(
    task: Task,
    variable: str,
    value: Any,
    marker: Any,
    context: ExecutionContext,
    on_check: OnCheck,
    side: Any,
) -> None:
    from flytepath.plugin.manager import current

    manager = current()
    claim = manager.boundary_check_for(type(marker))
    if claim is None:
        return
    declared = claim.declaration.side
    wanted = getattr(marker, "side", "both") if declared == "marker" else declared
    if wanted not in ("both", side):
        return
    where = BoundaryContext(task.name, variable, side, context.execution_id, context.node_path, context.attempt)
    report: BoundaryReport = manager.resolve(claim.declaration.checker)().check(value, marker, where)
    for name, html in report.decks:
        context.add_deck(name, html)
    on_check(variable, side, claim.plugin, report)
    if report.passed:
        return
    if report.on_failure == "raise":
        raise BoundaryCheckError(
            report.message, place=f"{task.name}({variable})", hint="the deck of this attempt shows the whole result"
        )
    context.logging.warning("%s(%s): %s", task.name, variable, report.message)
