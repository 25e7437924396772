"""One attempt with native values, the same in a direct call and in a worker.

The order is fixed: boundary checks of the inputs, task wrappers, ``TaskType.execute`` around the body, boundary
checks of the outputs.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flytepath.authoring.context import ExecutionContext, entered
from flytepath.errors import BoundaryCheckError, DefinitionError, FlytePathError
from flytepath.model.literal import sha256
from flytepath.plugin.boundary import BoundaryChecker, BoundaryContext, BoundaryReport
from flytepath.plugin.task_type import NO_OUTPUT, TaskType
from flytepath.plugin.variables import variables_set

if TYPE_CHECKING:
    from flytepath.authoring.task import Task
    from flytepath.model.identity import Tenant
    from flytepath.types.engine import Codec

log = logging.getLogger("flytepath")

#: An attempt, cut at its body.
Steps = Generator[Any, Any, Any]

#: A task's type, and the context of the attempt.
Prepared = tuple[TaskType, ExecutionContext]
#: Told of each boundary check: variable, side, checker's name, report.
OnCheck = Callable[[str, str, str, BoundaryReport], None]


@dataclass(slots=True)
class Vouchers:
    """What was found good of an attempt's values.

    Args:
        given: by input, the checks that found it good when it was written.
        made: by output, those that have found it good now.
    """

    given: Mapping[str, Sequence[str]] = field(default_factory=dict)
    made: dict[str, list[str]] = field(default_factory=dict)


_PYTHON = "python"
#: The backend that is the workers of this machine.
LOCAL = "local"
_task_types: dict[type[Any], TaskType] = {}
_plain_type = TaskType()


def task_type_name(task: Task) -> str:
    """The name of the task's type: ``python`` without a configuration."""
    if task.task_config is None or task.has_own_execute:
        return _PYTHON
    from flytepath.plugin.manager import current

    name: str = current().task_type_for(type(task.task_config)).declaration.name
    return name


def task_type_of(task: Task) -> TaskType:
    """The task type that runs ``task``, imported when first needed."""
    if task.task_config is None or task.has_own_execute:
        return _plain_type
    kind = type(task.task_config)
    known = _task_types.get(kind)
    if known is None:
        from flytepath.plugin.manager import current

        manager = current()
        known = _task_types[kind] = manager.resolve(manager.task_type_for(kind).declaration.task_type)()
    return known


def runs_as_job(task: Task) -> bool:
    """Whether a direct call of the task has to go to its backend: nothing in this process can do its work.

    A task type whose ``local_fidelity`` is ``full`` or ``emulated`` does it here.
    """
    if task.task_config is None or task.has_own_execute:
        return False
    from flytepath.plugin.manager import current

    if current().task_type_for(type(task.task_config)).declaration.default_backend == LOCAL:
        return False
    kind = task_type_of(task)
    # Where neither the type nor the task says what is to be done, the words of the type's author say too much.
    has_nothing_to_run = task.body in ("none", "sql") and type(kind).execute is TaskType.execute
    return kind.local_fidelity == "unsupported" or has_nothing_to_run


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


def has_surroundings(task: Task) -> bool:
    """Whether the task's type puts something around attempts, which in a direct call has to hold for inputs too."""
    if task.task_config is None or task.has_own_execute or runs_as_job(task):
        return False
    return type(task_type_of(task)).around is not TaskType.around


def call_inside(task: Task, check: Callable[[], dict[str, Any]]) -> Any:
    """A direct call of such a task: its inputs are checked, which may read frames, inside what its type puts around.

    Args:
        task: the task.
        check: gives the inputs, checked.
    """
    prepared = _prepared(task)
    task_type, context = prepared
    with task_type.around(context):
        return call_here(task, check(), prepared)


async def call_inside_async(task: Task, check: Callable[[], dict[str, Any]]) -> Any:
    """The same in the caller's event loop."""
    prepared = _prepared(task)
    task_type, context = prepared
    with task_type.around(context):
        return await call_async(task, check(), prepared)


def call_here(task: Task, inputs: dict[str, Any], prepared: Prepared | None = None) -> Any:
    """A direct call: run the attempt in this process, or reuse its outputs; what the caller expects."""
    if task.settings.caching is not None:
        from flytepath.authoring.local_cache import slot_of

        slot = slot_of(task, inputs)
        if slot is not None:
            with slot.turn():
                if not slot.is_filled():
                    slot.value = _run_here(task, inputs, prepared)
                    slot.keep(slot.value)
                return slot.value
    return _run_here(task, inputs, prepared)


def _run_here(task: Task, inputs: dict[str, Any], prepared: Prepared | None = None) -> Any:
    try:
        if runs_as_job(task):
            from flytepath.authoring.remote_calls import call_remotely

            outputs: Any = call_remotely(task, inputs)
        else:
            task_type, context = prepared or _prepared(task)
            outputs = call_attempt(task, task_type, context, inputs, _ignore)
    except Exception as error:
        error.add_note(f"in task {task.name}")
        raise
    return _returned(task, outputs)


async def call_async(task: Task, inputs: dict[str, Any], prepared: Prepared | None = None) -> Any:
    """A direct call of a task whose body is a coroutine, in the caller's event loop."""
    if task.settings.caching is None:
        return await _run_async(task, inputs, prepared)
    from flytepath.authoring.local_cache import slot_of

    slot = slot_of(task, inputs)
    if slot is None:
        return await _run_async(task, inputs, prepared)
    async with slot.turn_async():
        if not slot.is_filled():
            slot.value = await _run_async(task, inputs, prepared)
            slot.keep(slot.value)
        return slot.value


async def _run_async(task: Task, inputs: dict[str, Any], prepared: Prepared | None = None) -> Any:
    if runs_as_job(task):
        return _run_here(task, inputs)  # which refuses it: a body that is a coroutine runs in a worker
    task_type, context = prepared or _prepared(task)
    try:
        steps = _steps(task, task_type, context, inputs, _ignore)
        outputs = await _driven(steps)
    except Exception as error:
        error.add_note(f"in task {task.name}")
        raise
    return _returned(task, outputs)


def _prepared(task: Task) -> Prepared:
    task_type = task_type_of(task)
    if task.is_plain:
        return task_type, ExecutionContext(node_path=task.name, declare=task.declaration)
    if task_type.local_fidelity == "unsupported":
        raise DefinitionError(
            f"task {task.name} cannot run in a direct call",
            hint=f"its task type {task_type_name(task)!r} only runs on its backend; use `flytepath run`",
        )
    payload = task_type.compile(task.declaration()) if task.task_config is not None else None
    return task_type, ExecutionContext(
        node_path=task.name, declare=task.declaration, payload=payload, enable_deck=bool(task.settings.decks)
    )


def _returned(task: Task, outputs: Any) -> Any:
    if outputs is NO_OUTPUT:
        return None
    if task.has_one_output:
        for key, value in outputs.items():
            return task.checked_output(key, value)
    return task.checked(outputs)


def _ignore(_variable: str, _side: str, _checker: str, _report: BoundaryReport) -> None:
    """Direct calls keep no record of checks."""


def call_attempt(
    task: Task,
    task_type: TaskType,
    context: ExecutionContext,
    inputs: dict[str, Any],
    on_check: OnCheck,
    vouchers: Vouchers | None = None,
) -> Any:
    """Run the attempt to its end; native outputs by name, or ``NO_OUTPUT``."""
    if task.is_plain and not _wrappers(task, context.tenant):
        with entered(context):
            result = task.call_body(inputs)
            return _settled(task, context, task.as_outputs(complete(result) if task.is_async else result))
    steps = _steps(task, task_type, context, inputs, on_check, vouchers)
    result = next(steps)
    try:
        if inspect.iscoroutine(result):
            result = complete(result)
    except BaseException as error:  # noqa: BLE001 - it is thrown into the steps
        return _ended(steps, error)
    return _ended(steps, None, result)


def _settled(task: Task, context: ExecutionContext, outputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs; those that need the attempt (a generator, files of a direct call) are taken over now."""
    for name in task.in_folder if context.tenant is None else task.streams:
        outputs[name] = task.checked_output(name, outputs[name])
    return outputs


def _ended(steps: Steps, error: BaseException | None, result: Any = None) -> Any:
    try:
        if error is not None:
            steps.throw(error)
        else:
            steps.send(result)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("an attempt has one body")


async def _driven(steps: Steps) -> Any:
    result = next(steps)
    try:
        if inspect.isawaitable(result):
            result = await result
    except BaseException as error:  # noqa: BLE001 - it is thrown into the steps
        return _ended(steps, error)
    return _ended(steps, None, result)


def _steps(
    task: Task,
    task_type: TaskType,
    context: ExecutionContext,
    inputs: dict[str, Any],
    on_check: OnCheck,
    vouchers: Vouchers | None = None,
) -> Steps:
    """The attempt around its body: yields what the body gave, perhaps a coroutine, and is sent its value."""
    with entered(context):
        _check_boundary(task, task.input_codecs, inputs, context, on_check, "reading", vouchers)
        if task.settings.decks:
            from flytepath.authoring.decks.task_decks import write_decks_before

            write_decks_before(task, context, inputs)
        with ExitStack() as stack:
            enter_surroundings(task, context, stack)
            for name, required, wrapper in _wrappers(task, context.tenant):
                try:
                    stack.enter_context(wrapper(context))
                except Exception:
                    if required:
                        raise
                    log.warning("task wrapper %s failed and is left out", name, exc_info=True)
            if task.is_async and task_type.__class__ is not TaskType:
                result = task_type.execute(context, inputs, lambda given: complete(task.call_body(given)))
            else:
                result = task_type.execute(context, inputs, task.call_body)
            result = yield result
        if result is NO_OUTPUT:
            return NO_OUTPUT
        outputs = _settled(task, context, task.as_outputs(result))
        _check_boundary(task, task.output_codecs, outputs, context, on_check, "writing", vouchers)
        if task.settings.decks:
            from flytepath.authoring.decks.task_decks import write_decks_after

            write_decks_after(task, context, outputs)
        return outputs


def complete(awaitable: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, also where this thread already runs an event loop."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaitable)
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="flytepath-task") as thread:
        return thread.submit(contextvars.copy_context().run, asyncio.run, awaitable).result()


def enter_surroundings(task: Task, context: ExecutionContext, stack: ExitStack) -> None:
    """Set the environment variables that a task's settings name, and hand over the secrets that it asks for.

    In a durable attempt the worker has set the former, because a node may override them.
    """
    settings = task.settings
    if settings.process_variables and context.tenant is None:
        stack.enter_context(variables_set(settings.process_variables))
    if settings.secrets:
        from flytepath.authoring.secrets import handed_over

        stack.enter_context(handed_over(settings.secrets, context))


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
    vouchers: Vouchers | None,
) -> None:
    for variable, codec in codecs.items():
        for marker in codec.markers:
            _check_marker(task, (variable, codec), values[variable], marker, context, on_check, side, vouchers)


def _check_marker(
    task: Task,
    declared: tuple[str, Codec[Any]],
    value: Any,
    marker: Any,
    context: ExecutionContext,
    on_check: OnCheck,
    side: Any,
    vouchers: Vouchers | None,
) -> None:
    from flytepath.plugin.manager import current

    variable, codec = declared
    manager = current()
    claim = manager.boundary_check_for(type(marker))
    if claim is None:
        return
    said = claim.declaration.side
    wanted = getattr(marker, "side", "both") if said == "marker" else said
    if wanted not in ("both", side):
        return
    checker = manager.resolve(claim.declaration.checker)()
    voucher = None if vouchers is None else _voucher(checker, claim.declaration.marker, marker, codec)
    if vouchers is not None and side == "reading" and voucher in vouchers.given.get(variable, ()):
        return
    where = BoundaryContext(task.name, variable, side, context.execution_id, context.node_path, context.attempt)
    report: BoundaryReport = checker.check(value, marker, where)
    for name, html in report.decks:
        context.add_deck(name, html)
    on_check(variable, side, claim.plugin, report)
    if report.passed:
        if vouchers is not None and voucher is not None and side == "writing":
            vouchers.made.setdefault(variable, []).append(voucher)
        return
    if report.on_failure == "raise":
        raise BoundaryCheckError(
            report.message, place=f"{task.name}({variable})", hint="the deck of this attempt shows the whole result"
        )
    context.logging.warning("%s(%s): %s", task.name, variable, report.message)


def _voucher(checker: BoundaryChecker, kind: str, marker: Any, codec: Codec[Any]) -> str | None:
    """What a check vouches for: of another type, the same value may be another."""
    found = checker.voucher(marker)
    if found is None:
        return None
    t = codec.python_type
    said = [kind, found, f"{t.__module__}.{t.__qualname__}" if isinstance(t, type) else str(t)]
    return sha256(json.dumps([*said, codec.literal_type.to_json()], sort_keys=True).encode())
