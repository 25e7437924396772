"""Pydantic models, field by field; pydantic itself is imported by whoever defined the model."""

from __future__ import annotations

from typing import Any

from flytepath.errors import TypeTransformerFailedError
from flytepath.model.literal import BlobRef
from flytepath.model.types import Field, LiteralType
from flytepath.plugin.transformer import BlobSink, BlobSource, Converter, Json
from flytepath.types.converter import CoreConverter, InPlaceTransformer, mismatch, type_name, unreadable, within
from flytepath.types.structs import StructField, field_converter


class ModelConverter(CoreConverter[Any]):
    """One model class. Its own validation runs each time a value is encoded or copied, and changes nothing."""

    def __init__(self, cls: Any, fields: tuple[StructField, ...]) -> None:
        self.cls = cls
        self.classes = (cls,)
        self.fields = fields
        self._converters = {field.name: field.converter for field in fields}
        self._keys = _validation_keys(cls)
        self._shown = type_name(cls)
        self.literal_type = LiteralType(
            "struct",
            fields=tuple(Field(field.name, field.converter.literal_type, field.required) for field in fields),
            name=f"{cls.__module__}.{cls.__qualname__}",
        )

    def encode(self, value: Any, sink: BlobSink, refs: list[BlobRef]) -> Json:
        self._check(value)
        return self._each(vars(value), lambda converter, item: converter.encode(item, sink, refs))

    def decode(self, data: Json, source: BlobSource, refs: tuple[BlobRef, ...]) -> Any:
        if type(data) is not dict or data.keys() != self._converters.keys():
            raise unreadable(data, self._shown)
        return self._made(self._each(data, lambda converter, item: converter.decode(item, source, refs)), set(data))

    def isolate(self, value: Any) -> Any:
        self._check(value)
        own = self._each(vars(value), lambda converter, item: converter.isolate(item))
        return self._made(own, set(value.model_fields_set))

    def _check(self, value: Any) -> None:
        if type(value) is not self.cls:
            hint = f"make one with {self.cls.__name__}.model_validate(value)" if isinstance(value, dict) else None
            raise mismatch(value, self._shown, hint)
        if value.__pydantic_extra__:
            raise TypeTransformerFailedError(
                f"{self._shown} holds fields that it does not declare",
                expected="the fields " + ", ".join(self._converters),
                actual=", ".join(value.__pydantic_extra__),
                hint="declare them, or keep them in a field of type dict[str, str]",
            )
        if self._keys is not None:
            self._validate(value, self._keys)

    def _validate(self, value: Any, keys: dict[str, str]) -> None:
        import pydantic

        present = vars(value)
        try:
            self.cls.model_validate({keys[name]: present[name] for name in self._converters if name in present})
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
            raise TypeTransformerFailedError(
                f"{self._shown} is not valid: {first['msg']}",
                place=path or None,
                expected=f"a {self._shown} that its own validation accepts",
                actual=first["type"],
            ) from error

    def _each(self, values: Any, convert: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        name = ""
        try:
            for name, converter in self._converters.items():
                out[name] = convert(converter, values[name])
        except TypeTransformerFailedError as error:
            raise within(error, f".{name}") from error.__cause__
        return out

    def _made(self, values: dict[str, Any], given: set[str]) -> Any:
        """A model of exactly these values: validators ran when they were first given and do not run over them again."""
        made = self.cls.model_construct(_fields_set=given)
        made.__dict__.clear()
        made.__dict__.update(values)
        return made


def _validation_keys(cls: Any) -> dict[str, str] | None:
    """The key each field is validated under; ``None`` where aliases are more than names."""
    by_name = cls.model_config.get("populate_by_name") or cls.model_config.get("validate_by_name")
    keys: dict[str, str] = {}
    for name, field in cls.model_fields.items():
        alias = field.validation_alias or field.alias
        if alias is None or by_name:
            keys[name] = name
        elif isinstance(alias, str):
            keys[name] = alias
        else:
            return None
    return keys


class ModelTransformer(InPlaceTransformer):
    """Subclasses of ``pydantic.BaseModel``."""

    def converter(self, t: Any, resolve: Any) -> Converter[Any]:
        if not t.__pydantic_complete__:
            t.model_rebuild()
        fields = []
        for name, field in t.model_fields.items():
            converter = field_converter(resolve, field.annotation, name)
            fields.append(StructField(name, converter, required=field.is_required()))
        return ModelConverter(t, tuple(fields))
