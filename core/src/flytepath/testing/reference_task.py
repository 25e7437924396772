"""The task type of the reference plugin: a job of the fake vendor's as a task without a body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from flytepath.plugin import DefinitionError, TaskDeclaration, TaskType

Json = Any


@dataclass(frozen=True, slots=True)
class VendorJob:
    """What the vendor is asked to do. Selects the task type.

    Args:
        seconds: how long it runs; ``None`` for ever.
        outcome: the vendor's word for its end: ``FINISHED``, ``ERRORED``, ``EVICTED``, ``EXPIRED`` or ``NODE_LOST``.
        outputs: values by name of output, in the JSON of literals; ``{"$input": "x"}`` gives an input back.
        states: the states it passes on the way, in equal parts.
        exit_code, message: what it says of a failure.
        log: the lines it writes.
        items: for a map task, what differs for some of its items, by index: any of the above.

    Example:
        >>> VendorJob(seconds=60, outputs={"rows": 3}).spec()["outputs"]
        {'rows': 3}
    """

    seconds: float | None = 0.0
    outcome: str = "FINISHED"
    outputs: Mapping[str, Json] = field(default_factory=dict)
    states: tuple[str, ...] = ()
    exit_code: int | None = None
    message: str = ""
    log: tuple[str, ...] = ()
    items: Mapping[int, Mapping[str, Json]] = field(default_factory=dict)

    def spec(self) -> dict[str, Json]:
        """It as the vendor's API wants it."""
        spec: dict[str, Json] = {"seconds": self.seconds, "outcome": self.outcome, "outputs": dict(self.outputs)}
        more = {"states": list(self.states), "message": self.message, "log": list(self.log)}
        spec.update({name: value for name, value in more.items() if value})
        if self.exit_code is not None:
            spec["exit_code"] = self.exit_code
        return spec


class VendorJobTask(TaskType):
    """Runs nowhere but at the vendor; a direct call without the vendor is refused."""

    local_fidelity: ClassVar[Literal["full", "emulated", "unsupported"]] = "unsupported"

    def compile(self, declaration: TaskDeclaration) -> Json:
        config: VendorJob = declaration.config
        unknown = [name for name in config.outputs if name not in declaration.outputs]
        if unknown:
            raise DefinitionError(
                f"the job gives {unknown[0]!r}, which is no output of the task",
                place=f"{declaration.name}(task_config.outputs)",
                expected=", ".join(declaration.outputs) or "no outputs",
                actual=unknown[0],
                hint="declare it in outputs=kwtypes(...)",
            )
        return {
            "job": config.spec(),
            "items": {str(index): dict(item) for index, item in sorted(config.items.items())},
            "outputs": {name: kind.to_json() for name, kind in declaration.outputs.items()},
        }
