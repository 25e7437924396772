"""What tasks, workflows and launch plans have in common: a name, typed inputs with defaults, and named outputs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flytepath.authoring.conducting import CallsHere, Conductor, conductor
from flytepath.authoring.graph import building
from flytepath.authoring.signature import REQUIRED, bind_arguments
from flytepath.errors import DefaultValueError, DefinitionError, TypeTransformerFailedError
from flytepath.types.engine import Codec, codec

if TYPE_CHECKING:
    from flytepath.authoring.workflow import Workflow


class Entity:
    """Something that is called with typed inputs and gives typed outputs.

    Called in a workflow it becomes a node, in an eager task a recorded call; anywhere else it runs right here.

    Args:
        name: its full name.
        inputs, outputs: Python types by name, in order.
        defaults: native defaults by input name; ``REQUIRED`` for none.
        output_tuple: the NamedTuple class of several outputs, if that is how they were declared.

    Raises:
        DefinitionError: a type that can have no literals; with the input or output it belongs to.
        DefaultValueError: a default that is not of its input's type.
    """

    #: Whether a direct call gives a coroutine.
    is_async: bool = False
    #: Whether what runs for it are nodes of its own, below its path.
    holds_nodes: bool = False

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: Mapping[str, Any],
        defaults: Mapping[str, Any],
        output_tuple: type[Any] | None,
    ) -> None:
        self.name = name
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)
        self.defaults = dict(defaults)
        self.output_tuple = output_tuple
        self.stand_in: Any = None
        self.input_codecs: dict[str, Codec[Any]] = {k: self._codec(k, t) for k, t in self.inputs.items()}
        self.output_codecs: dict[str, Codec[Any]] = {k: self._codec(k, t) for k, t in self.outputs.items()}
        for key, default in self.defaults.items():
            if default is not REQUIRED:
                self._check_default(key, default)

    def _codec(self, variable: str, t: Any) -> Codec[Any]:
        try:
            return codec(t)
        except DefinitionError as error:
            error.place = f"{self.name}({variable})" + (f" {error.place}" if error.place else "")
            raise

    def _check_default(self, key: str, value: Any) -> None:
        try:
            self.input_codecs[key].isolate(value)
        except FileNotFoundError:
            return  # a default may name a file that lies only where runs are started; it is looked for when it is used
        except TypeTransformerFailedError as error:
            raise DefaultValueError(
                f"the default of input {key!r} is not of its type: {error.message}",
                place=f"{self.name}({key}{error.place or ''})",
                expected=error.expected,
                actual=error.actual,
                hint=error.hint or "declare the type the default has, as in x: int | None = None",
            ) from error

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """A call's arguments by input name, defaults filled in. Raises ``InputError``."""
        if not args and kwargs.keys() == self.inputs.keys():
            return kwargs
        return bind_arguments(self.name, self.inputs, self.defaults, args, kwargs)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        graph = building.get()
        if graph is not None:
            return graph.call(self, args, kwargs)
        bound = self.bind(args, kwargs)
        by = conductor.get()
        if by is not None:
            return self._call_through(by, bound)
        if self.is_async:
            return self.run_async(bound)
        return self.run_here(bound)

    def _call_through(self, by: Conductor | CallsHere, inputs: dict[str, Any]) -> Any:
        """A call made by an eager task."""
        from flytepath.authoring.eager import call_from_eager

        return call_from_eager(self, by, inputs)

    def run_here(self, inputs: dict[str, Any]) -> Any:
        """Run it in this process, to its end; what a caller gets."""
        raise NotImplementedError

    async def run_async(self, inputs: dict[str, Any]) -> Any:
        """The same as a coroutine."""
        return self.run_here(inputs)

    def checked_input(self, key: str, value: Any) -> Any:
        """``value``, checked against the input's type and kept apart from the caller's."""
        try:
            return self.input_codecs[key].isolate(value)
        except TypeTransformerFailedError as error:
            error.place = f"{self.name}({key}{error.place or ''})"
            raise

    def checked_output(self, key: str, value: Any) -> Any:
        """``value``, checked against the output's type and kept apart from the giver's."""
        try:
            return self.output_codecs[key].isolate(value)
        except TypeTransformerFailedError as error:
            error.place = f"{self.name}() -> {key}{error.place or ''}"
            raise

    def checked(self, outputs: Mapping[str, Any]) -> Any:
        """What a caller gets of these native outputs, each checked."""
        return self.returned({key: self.checked_output(key, value) for key, value in outputs.items()})

    def answered(self, inputs: Mapping[str, Any]) -> Any:
        """What the stand-in gives in place of a run; inputs and outputs are checked as in one."""
        result = self.stand_in(**{key: self.checked_input(key, value) for key, value in inputs.items()})
        return self.checked(self.named(result)) if self.outputs else None

    @property
    def workflow_inside(self) -> Workflow | None:
        """The workflow that it is, maps or launches, if any."""
        return None

    @property
    def has_one_output(self) -> bool:
        """Whether a call gives the output itself, and not a tuple of outputs."""
        return len(self.outputs) == 1 and self.output_tuple is None

    def returned(self, outputs: Mapping[str, Any]) -> Any:
        """What a caller gets: one value, a tuple, the declared NamedTuple, or ``None``."""
        if not self.outputs:
            return None
        if self.output_tuple is not None:
            return self.output_tuple(**outputs)
        values = tuple(outputs[name] for name in self.outputs)
        return values[0] if len(values) == 1 else values

    def named(self, result: Any) -> dict[str, Any]:
        """The inverse of :meth:`returned`.

        Raises:
            TypeTransformerFailedError: ``result`` is not as many values as there are outputs.
        """
        names = tuple(self.outputs)
        if not names:
            if result is not None:
                raise TypeTransformerFailedError(
                    f"{self.name} declares no output but returned a value",
                    place=f"{self.name}()",
                    expected="None",
                    actual=type(result).__name__,
                    hint="annotate the return type",
                )
            return {}
        if self.has_one_output:
            return {names[0]: result}
        if not isinstance(result, tuple) or len(result) != len(names):
            raise TypeTransformerFailedError(
                f"{self.name} declares {len(names)} outputs",
                place=f"{self.name}()",
                expected=f"a tuple of {len(names)} values",
                actual=f"{type(result).__name__}{f' of {len(result)}' if isinstance(result, tuple) else ''}",
            )
        return dict(zip(names, result, strict=True))

    @property
    def interface(self) -> Interface:
        """The names and types of inputs and outputs."""
        return Interface(self.inputs, self.outputs, {k: v for k, v in self.defaults.items() if v is not REQUIRED})


class Interface:
    """Inputs and outputs: names, Python types, and the defaults of inputs.

    Example:
        >>> Interface(inputs={"x": int}, outputs={"y": str})
        Interface(x: int -> y: str)
    """

    def __init__(
        self,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        # A pair (type, default) is how flytekit writes an input with a default.
        pairs = {name: t if isinstance(t, tuple) else (t, REQUIRED) for name, t in (inputs or {}).items()}
        self.inputs: dict[str, Any] = {name: t for name, (t, _) in pairs.items()}
        self.outputs: dict[str, Any] = dict(outputs or {})
        given = {name: default for name, (_, default) in pairs.items() if default is not REQUIRED}
        self.defaults: dict[str, Any] = given | dict(defaults or {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interface) and (self.inputs, self.outputs, self.defaults) == (
            other.inputs,
            other.outputs,
            other.defaults,
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        from flytepath.types.converter import type_name

        def shown(types: Mapping[str, Any]) -> str:
            return ", ".join(f"{name}: {type_name(t)}" for name, t in types.items())

        return f"Interface({shown(self.inputs)} -> {shown(self.outputs)})"


#: Held while an entity is compiled at first need.
compiling = threading.RLock()
