"""``Echo``: a task that gives back what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flytepath.authoring.task import PythonInstanceTask


class Echo(PythonInstanceTask):
    """A task whose outputs are its inputs: a branch of a ``conditional`` that only passes something on, for example.

    Args:
        name: the task's name, unique in its project. Assign it to a module variable.
        inputs: types by name. One input gives one output; several give a tuple, in the same order; none give nothing.
        **kwargs: as for ``task``.

    Example:
        >>> from flytepath import kwtypes
        >>> echo = Echo(name="echo", inputs=kwtypes(a=int, b=str))
        >>> echo(a=1, b="x")
        (1, 'x')
    """

    def __init__(self, name: str, inputs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        types = [t[0] if isinstance(t, tuple) else t for t in (inputs or {}).values()]
        outputs = {f"o{index}": t for index, t in enumerate(types)}
        super().__init__(name=name, inputs=inputs, outputs=outputs, task_type="echo", **kwargs)

    def execute(self, **inputs: Any) -> Any:
        """The inputs: one as it is, several as a tuple."""
        values = tuple(inputs[name] for name in self.inputs)
        return values if len(values) > 1 else values[0] if values else None
