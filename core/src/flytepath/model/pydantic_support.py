"""How the slotted data classes of the model stand as fields of its pydantic models: as the JSON they write."""

from __future__ import annotations

from typing import Any, Protocol


class _JsonObject(Protocol):
    def to_json(self) -> dict[str, Any]: ...


def json_object_schema(cls: type[Any]) -> Any:
    """A pydantic core schema that takes an instance of ``cls`` or the JSON object its ``from_json`` reads."""
    from pydantic_core import core_schema

    def read(value: Any) -> Any:
        if isinstance(value, cls):
            return value
        if isinstance(value, dict):
            return cls.from_json(value)
        raise ValueError(f"expected {cls.__name__} or its JSON object, got {type(value).__name__}")

    def write(value: _JsonObject) -> dict[str, Any]:
        return value.to_json()

    return core_schema.no_info_plain_validator_function(
        read, serialization=core_schema.plain_serializer_function_ser_schema(write)
    )
