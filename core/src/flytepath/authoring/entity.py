"""What tasks and workflows have in common: a name, typed inputs with defaults, and named outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flytepath.authoring.signature import REQUIRED, bind_arguments
from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.types.engine import Codec, codec


class Entity:
    """Something that is called with typed inputs and gives typed outputs.

    Args:
        name: its full name.
        inputs, outputs: Python types by name, in order.
        defaults: native defaults by input name; ``REQUIRED`` for none.
        output_tuple: the NamedTuple class of several outputs, if that is how they were declared.

    Raises:
        DefinitionError: a type that can have no literals; with the input or output it belongs to.
        TypeTransformerFailedError: a default that is not of its input's type.
    """

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
        self.input_codecs: dict[str, Codec[Any]] = {k: self._codec(k, t) for k, t in self.inputs.items()}
        self.output_codecs: dict[str, Codec[Any]] = {k: self._codec(k, t) for k, t in self.outputs.items()}
        for key, default in self.defaults.items():
            if default is not REQUIRED:
                self.checked_input(key, default)

    def _codec(self, variable: str, t: Any) -> Codec[Any]:
        try:
            return codec(t)
        except DefinitionError as error:
            error.place = f"{self.name}({variable})" + (f" {error.place}" if error.place else "")
            raise

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """A call's arguments by input name, defaults filled in. Raises ``InputError``."""
        return bind_arguments(self.name, self.inputs, self.defaults, args, kwargs)

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
