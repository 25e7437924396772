"""``with_overrides``: what one node changes of how its task is run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from flytepath.authoring.entity import Entity
from flytepath.authoring.promise import caller_line
from flytepath.authoring.settings import task_settings
from flytepath.errors import CompileError, DefinitionError, OverrideError

if TYPE_CHECKING:
    from flytepath.authoring.graph import GraphNode
    from flytepath.authoring.task import Task

#: Which fields of the settings an argument changes.
_FIELDS: Final = {
    "requests": ("requests",),
    "limits": ("limits",),
    "resources": ("requests", "limits"),
    "retries": ("retries",),
    "timeout": ("timeout_seconds",),
    "cache": ("caching",),
    "cache_version": (),
    "cache_serialize": (),
    "cache_ignore_input_vars": (),
    "interruptible": ("interruptible",),
    "container_image": ("image",),
    "accelerator": ("accelerator",),
    "pod_template": ("pod_template",),
    "pod_template_name": ("pod_template_name",),
    "shared_memory": ("shared_memory",),
    "labels": ("labels",),
    "annotations": ("annotations",),
    "environment": ("variables",),
    "pools": ("pools",),
    "backend": ("backend",),
}
_NAMES: Final = ("node_name", "name", "aliases")


@dataclass(frozen=True, slots=True)
class NodeOverrides:
    """The changes of one node: fields of the settings that change, with their values, and another configuration."""

    settings: Mapping[str, Any]
    task_config: Any = None

    @classmethod
    def of(cls, task: Task, changes: Mapping[str, Any], task_config: Any = None) -> NodeOverrides:
        """Read ``changes``, by the names of ``with_overrides``.

        Raises:
            DefinitionError: a value that cannot be meant.
        """
        read = task_settings(task.name, task.inputs, task.function, changes)
        changed = {field: getattr(read, field) for name, value in changes.items() for field in _changed(name, value)}
        return cls(changed, task_config)

    def merged(self, later: NodeOverrides) -> NodeOverrides:
        """These changes, and ``later`` ones over them."""
        return NodeOverrides(
            {**self.settings, **later.settings}, self.task_config if later.task_config is None else later.task_config
        )

    def entity(self, entity: Entity) -> Entity:
        """A copy of a task, or of the map of one, that is run with these changes."""
        from flytepath.authoring.map_task import MapTask

        changed: Any = copy.copy(entity)
        if isinstance(entity, MapTask):
            changed.overrides = self if entity.overrides is None else entity.overrides.merged(self)
            return changed  # type: ignore[no-any-return]
        changed.settings = replace(changed.settings, **self.settings)
        if self.task_config is not None:
            changed.task_config = self.task_config
        settings = changed.settings
        changed.is_plain = changed.is_plain and settings.caching is None and not settings.process_variables
        return changed  # type: ignore[no-any-return]


def _changed(name: str, value: Any) -> tuple[str, ...]:
    """The fields of the settings an argument changes: of several things that it could say, those that it does."""
    if name == "retries" and not isinstance(value, int):
        return ("retries", "retry")
    if name == "timeout":
        runtime = getattr(value, "max_runtime", value)
        queued = getattr(value, "max_queued_time", None)
        given = {"timeout_seconds": runtime, "queue_timeout_seconds": queued}
        return tuple(field for field, limit in given.items() if limit is not None)
    return _FIELDS[name]


def apply_overrides(node: GraphNode, changes: dict[str, Any]) -> None:
    """Apply what ``with_overrides`` was given to ``node``.

    Raises:
        OverrideError: an unknown override, a wrong value, or one that this kind of node cannot honour.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    known = {*_FIELDS, *_NAMES, "task_config"}
    for name in given:
        if name not in known:
            raise _refused(node, name, "there is no such override", expected=", ".join(sorted(known)))
    if given.pop("aliases", None):
        raise _refused(node, "aliases", "outputs cannot be renamed", hint="return a NamedTuple")
    for key in ("node_name", "name"):
        shown = given.pop(key, None)
        if shown is not None:
            if not isinstance(shown, str) or not shown:
                raise _refused(node, key, "a node's name is text", actual=repr(shown))
            node.name = shown
    if given:
        _configure(node, given)


def _configure(node: GraphNode, given: dict[str, Any]) -> None:
    from flytepath.authoring.map_task import MapTask
    from flytepath.authoring.task import Task

    entity = node.entity.target if isinstance(node.entity, MapTask) else node.entity
    if not isinstance(entity, Task):
        name = next(iter(given))
        raise _refused(
            node, name, f"{entity!r} is no task and cannot honour it", hint="override the tasks inside of it"
        )
    config = given.pop("task_config", None)
    if config is not None and type(config) is not type(entity.task_config):
        raise _refused(
            node,
            "task_config",
            "the configuration is of another kind than the task's",
            expected=type(entity.task_config).__name__,
            actual=type(config).__name__,
        )
    _check_honoured(node, entity, given)
    try:
        made = NodeOverrides.of(entity, given, config)
    except DefinitionError as error:
        raise OverrideError(
            error.message,
            place=f"{error.place}  [{caller_line()}]",
            expected=error.expected,
            actual=error.actual,
            hint=error.hint,
        ) from error
    node.overrides = made if node.overrides is None else node.overrides.merged(made)


def _check_honoured(node: GraphNode, task: Task, given: Mapping[str, Any]) -> None:
    from flytepath.authoring.call import task_type_name, task_type_of

    ignored = task_type_of(task).ignored_settings
    for name in given:
        if name in ignored:
            raise _refused(node, name, f"tasks of the type {task_type_name(task)!r} cannot honour it")


def _refused(node: GraphNode, name: str, message: str, **facts: Any) -> CompileError:
    place = f"{node.entity.name}.with_overrides({name})  [{caller_line()}]"
    return OverrideError(f"override {name!r}: {message}", place=place, **facts)
