"""The types of literals: a small closed language that needs no Python class to be read.

A literal type is what an interface records. It is compared, printed and stored without importing the user's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flytepath.errors import LiteralError

#: Kinds whose value is JSON in place, without parameters.
SCALAR_KINDS: Final = frozenset(
    {
        "none",
        "boolean",
        "integer",
        "float",
        "string",
        "bytes",
        "decimal",
        "datetime",
        "date",
        "time",
        "timedelta",
        "uuid",
        "path",
    }
)
#: Kinds built from other types: ``items`` holds the element types.
COMPOSITE_KINDS: Final = frozenset({"list", "tuple", "set", "frozenset", "dict", "union", "struct", "enum"})
#: Kinds whose content is a blob, or a format of a plugin's own.
BLOB_KINDS: Final = frozenset({"file", "directory", "dataframe", "iterator", "opaque"})
#: ``any`` takes every JSON value; ``reference`` names an enclosing struct (recursive types).
KINDS: Final = SCALAR_KINDS | COMPOSITE_KINDS | BLOB_KINDS | {"any", "reference"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct. A field that is not ``required`` has a default in the Python class."""

    name: str
    type: LiteralType
    required: bool = True


@dataclass(frozen=True, slots=True)
class LiteralType:
    """The type of a literal.

    Args:
        kind: one of :data:`KINDS`.
        items: element types: one for list, set, frozenset and iterator; key and value for dict; n for tuple and union.
            A list named ``tuple`` is a tuple of any length.
        fields: the fields of a struct, in their declared order.
        name: the qualified Python name of a struct, an enum or an opaque type; the target of a reference.
        values: the members of an enum as (name, JSON value).
        format: the format id of a blob kind, for example ``arrow-ipc``; empty where any will do.

    Example:
        >>> LiteralType.from_json({"kind": "list", "items": [{"kind": "integer"}]}) == LiteralType.list_of(INTEGER)
        True
        >>> str(LiteralType.list_of(INTEGER))
        'list[integer]'
    """

    kind: str
    items: tuple[LiteralType, ...] = ()
    fields: tuple[Field, ...] = ()
    name: str = ""
    values: tuple[tuple[str, Any], ...] = ()
    format: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise LiteralError(f"unknown literal kind {self.kind!r}", expected="one of " + ", ".join(sorted(KINDS)))

    @classmethod
    def list_of(cls, item: LiteralType) -> LiteralType:
        """``list[item]``."""
        return cls("list", (item,))

    @classmethod
    def dict_of(cls, key: LiteralType, value: LiteralType) -> LiteralType:
        """``dict[key, value]``."""
        return cls("dict", (key, value))

    @classmethod
    def union_of(cls, *items: LiteralType) -> LiteralType:
        """One of ``items``, tried by tag and never by trial."""
        return cls("union", items)

    def __str__(self) -> str:
        if self.kind in ("struct", "enum", "opaque", "reference"):
            name, bracket, arguments = self.name.partition("[")
            return (name.rpartition(".")[2] or self.kind) + bracket + arguments
        if self.kind == "union":
            return " | ".join(str(item) for item in self.items)
        inside = ", ".join(str(item) for item in self.items)
        if self.kind == "list" and self.name == "tuple":
            return f"tuple[{inside}, ...]"
        if self.format:
            inside = f"{inside}, {self.format}" if inside else self.format
        return f"{self.kind}[{inside}]" if inside else self.kind

    def to_json(self) -> dict[str, Any]:
        """Plain data with only the fields that say something."""
        out: dict[str, Any] = {"kind": self.kind}
        if self.items:
            out["items"] = [item.to_json() for item in self.items]
        if self.fields:
            out["fields"] = [
                {"name": f.name, "type": f.type.to_json()} | ({} if f.required else {"required": False})
                for f in self.fields
            ]
        if self.name:
            out["name"] = self.name
        if self.values:
            out["values"] = [[name, value] for name, value in self.values]
        if self.format:
            out["format"] = self.format
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LiteralType:
        """The inverse of :meth:`to_json`; raises :class:`LiteralError` on anything that is not a literal type."""
        try:
            return cls(
                kind=data["kind"],
                items=tuple(cls.from_json(item) for item in data.get("items", ())),
                fields=tuple(
                    Field(f["name"], cls.from_json(f["type"]), f.get("required", True)) for f in data.get("fields", ())
                ),
                name=data.get("name", ""),
                values=tuple((name, value) for name, value in data.get("values", ())),
                format=data.get("format", ""),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, LiteralError):
                raise
            raise LiteralError("not a literal type", actual=repr(data)[:200]) from error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from flytepath.model.pydantic_support import json_object_schema

        return json_object_schema(cls)


NONE: Final = LiteralType("none")
BOOLEAN: Final = LiteralType("boolean")
INTEGER: Final = LiteralType("integer")
FLOAT: Final = LiteralType("float")
STRING: Final = LiteralType("string")
BYTES: Final = LiteralType("bytes")
ANY: Final = LiteralType("any")
