"""``map_task``: one task, workflow or launch plan, run for every item of its list inputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flytepath.authoring.entity import Entity
from flytepath.authoring.promise import caller_line, holds_promise
from flytepath.authoring.settings import TaskMetadata
from flytepath.authoring.signature import REQUIRED, bind_arguments
from flytepath.errors import DefinitionError, InputError, MapFailedError, UnknownInputError

if TYPE_CHECKING:
    from flytepath.authoring.overrides import NodeOverrides
    from flytepath.authoring.workflow import Workflow


class MapTask(Entity):
    """``target`` for every item; what :func:`map_task` makes. Its mapped inputs and its outputs are lists.

    Attributes:
        target: what runs for an item.
        bound: inputs that are the same for all items, from ``functools.partial``: values or promises.
        overrides: what ``metadata=`` changes of the target.
    """

    holds_nodes = True

    def __init__(
        self,
        target: Entity,
        bound: Mapping[str, Any],
        concurrency: int | None,
        min_success_ratio: float,
        min_successes: int | None,
        overrides: NodeOverrides | None = None,
    ) -> None:
        self.target = target
        self.overrides = overrides
        self.bound = dict(bound)
        self.concurrency = concurrency
        self.min_success_ratio = min_success_ratio
        self.min_successes = min_successes
        tolerant = min_success_ratio < 1 or min_successes is not None
        inputs = {name: t if name in bound else list[t] for name, t in target.inputs.items()}  # type: ignore[valid-type]
        outputs = {name: list[t | None] if tolerant else list[t] for name, t in target.outputs.items()}  # type: ignore[valid-type]
        super().__init__(f"map_{target.name}", inputs, outputs, dict.fromkeys(inputs, REQUIRED), target.output_tuple)

    @property
    def workflow_inside(self) -> Workflow | None:
        """The target's."""
        return self.target.workflow_inside

    @property
    def mapped(self) -> tuple[str, ...]:
        """The inputs that are lists of items."""
        return tuple(name for name in self.inputs if name not in self.bound)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """A call's arguments, with those that are bound."""
        doubled = self.bound.keys() & kwargs.keys()
        if doubled:
            raise UnknownInputError(
                f"{self.name} has {min(doubled)!r} bound already", place=f"{self.name}({min(doubled)})"
            )
        mapped = {name: self.inputs[name] for name in self.mapped}
        given = bind_arguments(self.name, mapped, self.defaults, args, kwargs)
        return {name: self.bound[name] if name in self.bound else given[name] for name in self.inputs}

    def run_here(self, inputs: dict[str, Any]) -> Any:
        """Run the items one after the other in this process, or all together as jobs where they run on a backend."""
        if self.stand_in is not None:
            return self.answered(inputs)
        own = {key: self.checked_input(key, value) for key, value in inputs.items()}
        size = self.size(own)
        target = self.target if self.overrides is None else self.overrides.entity(self.target)
        fixed = {name: own[name] for name in self.bound}
        if _runs_as_jobs(target):
            return self._run_jobs(target, [{**fixed, **{n: own[n][i] for n in self.mapped}} for i in range(size)])
        outputs: dict[str, list[Any]] = {name: [] for name in self.outputs}
        failures: list[tuple[int, Exception]] = []
        for index in range(size):
            item = {name: own[name][index] for name in self.mapped}
            try:
                returned = target.run_here({**fixed, **item})
            except Exception as error:
                self._note(error, index)
                failures.append((index, error))
                if len(failures) > size - self.needed(size):
                    if size == self.needed(size):
                        raise
                    raise self.failed(size, failures) from error
                for values in outputs.values():
                    values.append(None)
                continue
            for name, value in target.named(returned).items():
                outputs[name].append(value)
        return self.returned(outputs)

    def _run_jobs(self, target: Entity, items: list[dict[str, Any]]) -> Any:
        """Run the items at the backend of their task; what fails because others did is not what went wrong."""
        from flytepath.authoring.remote_calls import map_remotely

        size, needed = len(items), self.needed(len(items))
        found = map_remotely(target, items, path=self.name, concurrency=self.concurrency, needed=needed)  # type: ignore[arg-type]
        failures = [(index, error) for index, error in enumerate(found) if isinstance(error, Exception)]
        own = [(index, error) for index, error in failures if getattr(error, "code", "") != "FP-STOPPED"] or failures
        for index, error in own:
            self._note(error, index)
        if size - len(failures) < needed:
            if size == needed:
                raise own[0][1]
            raise self.failed(size, own) from own[-1][1]
        values = [{} if isinstance(item, Exception) else item for item in found]
        return self.returned({name: [item.get(name) for item in values] for name in self.outputs})

    def _note(self, error: Exception, index: int) -> None:
        """Say which item an error comes from."""
        error.add_note(f"for item {index} of {self.name}")
        with suppress(AttributeError):  # some exceptions take no attributes
            inside = getattr(error, "flytepath_node", "") if self.target.holds_nodes else ""
            error.flytepath_node = f"{index}/{inside}" if inside else str(index)  # type: ignore[attr-defined]

    def needed(self, size: int) -> int:
        """How many of ``size`` items must succeed."""
        if self.min_successes is not None:
            return min(self.min_successes, size)
        return math.ceil(round(self.min_success_ratio * size, 9))

    def failed(self, size: int, failures: list[tuple[int, Exception]]) -> MapFailedError:
        """The error of a map with too many failures."""
        shown = "; ".join(f"item {index}: {type(error).__name__}: {error}" for index, error in failures[:3])
        return MapFailedError(
            f"{len(failures)} of {size} items of {self.name} failed",
            place=self.name,
            expected=f"at least {self.needed(size)} successes",
            actual=shown,
        )

    def size(self, inputs: Mapping[str, Any]) -> int:
        """The number of items.

        Raises:
            InputError: mapped inputs are of different lengths.
        """
        lengths = {name: len(inputs[name]) for name in self.mapped}
        if len(set(lengths.values())) > 1:
            raise InputError(
                f"the mapped inputs of {self.name} have different lengths",
                place=self.name,
                expected="lists of the same length",
                actual=", ".join(f"{name}: {length}" for name, length in lengths.items()),
            )
        return next(iter(lengths.values()), 0)

    def __repr__(self) -> str:
        return f"<map of {self.target.name}>"


def _runs_as_jobs(target: Entity) -> bool:
    from flytepath.authoring.task import Task

    if not isinstance(target, Task) or target.stand_in is not None or target.task_config is None:
        return False
    from flytepath.authoring.call import runs_as_job

    # Items whose outputs may be there already are looked up one by one.
    return target.settings.caching is None and runs_as_job(target)


def map_task(
    target: Any,
    concurrency: int | None = None,
    min_successes: int | None = None,
    min_success_ratio: float = 1.0,
    metadata: TaskMetadata | None = None,
    bound_inputs: Mapping[str, Any] | None = None,
    run_all_sub_nodes: bool = False,
) -> MapTask:
    """Run ``target`` once for every item of list inputs; outputs are lists in the same order.

    Args:
        target: a task, workflow, launch plan or another map; ``functools.partial(target, x=1)`` gives every item the
            same ``x``, a value or a promise.
        concurrency: how many items run at once in a durable run, and of tasks that run on a backend also in a direct
            call; no limit of its own by default.
        min_successes, min_success_ratio: how many items must succeed; where not all must, outputs are lists of
            optional values, ``None`` for an item that failed.
        metadata: settings of the item's task, in place of its own.
        bound_inputs: the same as ``functools.partial``.
        run_all_sub_nodes: taken for flytekit's sake; items that cannot change the outcome run all the same.

    Raises:
        DefinitionError: the target cannot be mapped, or an argument is out of its range.

    Example:
        >>> from flytepath import map_task, task
        >>> @task
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> map_task(double)(x=[1, 2, 3])
        [2, 4, 6]
    """
    del run_all_sub_nodes
    bound: dict[str, Any] = dict(bound_inputs or {})
    while isinstance(target, functools.partial):
        if target.args:
            raise DefinitionError("bind inputs of a mapped task by name", place=caller_line(), hint="partial(t, x=1)")
        bound = {**target.keywords, **bound}
        target = target.func
    if not isinstance(target, Entity):
        raise DefinitionError(
            "map_task takes a task, workflow or launch plan", place=caller_line(), actual=repr(target)[:100]
        )
    if isinstance(target, MapTask):  # what is the same for all items of a map is the same for all maps of it
        bound = {**target.bound, **bound}
    place = f"map_task({target.name})"
    unknown = bound.keys() - target.inputs.keys()
    if unknown:
        raise DefinitionError(
            f"{target.name} has no input {min(unknown)!r} to bind", place=place, expected=", ".join(target.inputs)
        )
    for name, value in bound.items():
        if not holds_promise(value):
            bound[name] = target.checked_input(name, value)
    if bound.keys() == target.inputs.keys():
        raise DefinitionError("a mapped task needs an input that is not bound", place=place)
    for what, value in (("concurrency", concurrency), ("min_successes", min_successes)):
        if value is not None and (type(value) is not int or value < 0):
            raise DefinitionError(f"{what} is a whole number", place=f"{place}({what})", actual=repr(value))
    ratio = min_success_ratio
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
        raise DefinitionError(
            "min_success_ratio is between 0 and 1", place=f"{place}(min_success_ratio)", actual=repr(ratio)
        )
    overrides = None if metadata is None else _of_metadata(target, metadata, place)
    return MapTask(target, bound, concurrency or None, float(ratio), min_successes, overrides)


def _of_metadata(target: Entity, metadata: TaskMetadata, place: str) -> NodeOverrides:
    from flytepath.authoring.overrides import NodeOverrides
    from flytepath.authoring.task import Task

    if not isinstance(target, Task):
        raise DefinitionError("metadata= is for tasks", place=f"{place}(metadata)", actual=repr(target))
    return NodeOverrides.of(target, metadata.as_settings())
