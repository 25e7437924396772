"""The literal: a typed value as it is kept, sent and compared, readable without the Python type it came from.

An envelope ``{format, version, type, data | ref, digest, refs[], hash, vouched[]}``; the last three only
where they are.
A container is *one* JSON payload; where its type says file, directory, dataframe, iterator or opaque, the payload holds
an embedded object ``{"format", "version", "data", "ref": index into refs | null}`` and the bytes stay in a blob.

Exact rules of the JSON payload, by kind (golden files in ``core/tests/golden`` hold them for ever):

========== =======================================================================================================
none        ``null``
boolean     ``true`` / ``false``
integer     a JSON number within ±(2**53 - 1), beyond it a string of decimal digits
float       a JSON number, or ``"NaN"``, ``"Infinity"``, ``"-Infinity"``; ``-0.0`` keeps its sign
string      a JSON string; with surrogates, which are no text, ``{"surrogates": base64 of UTF-8 that lets them pass}``
bytes       base64 (RFC 4648, padded)
decimal     a string, as ``str(Decimal)``
datetime    ISO 8601 with microseconds as needed; ``{"at", "zone", "fold"}`` where an IANA zone is known or the hour
            is the second of its name, and ``"name"`` where a fixed offset was given one
date        ISO 8601
time        ISO 8601, or the same object as ``datetime``
timedelta   whole microseconds, as an integer
uuid, path  a string
list, tuple, set, frozenset   an array (sets are ordered by the canonical JSON of their items)
dict        an object where keys are strings of text, else an array of ``[key, value]`` pairs; order is kept
struct      an object by field name
reference   as the enclosing struct of that name
enum        the member's name; combined flags by their names, with ``|`` between them; bits that have none as a number
union       ``{"tag": index of the alternative, "value": payload}``; ``None`` in an optional is ``null``;
            alternatives are in the order of their types' canonical JSON, ``none`` last
any         the JSON value itself
========== =======================================================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from flytepath.errors import LiteralError
from flytepath.model.fitting import fits, refit
from flytepath.model.payload import NO_SCOPE, Path, closed, step_into, with_refs
from flytepath.model.types import BLOB_KINDS, NONE, LiteralType

#: The format of values that are JSON as described above.
JSON_FORMAT: Final = "json"
JSON_VERSION: Final = 1
#: The format of a literal whose value was erased.
ERASED_FORMAT: Final = "erased"
#: Payloads over this many bytes are kept in the blob store; ``data`` is then empty and ``ref`` points to it.
INLINE_LIMIT: Final = 32 * 1024
# One encoder for all payloads: json.dumps builds a new one per call, which small payloads would feel.
_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def canonical_json(data: Any) -> bytes:
    """The one byte form that digests are taken of: ASCII, no white space, order kept, no NaN."""
    return canonical_text(data).encode("ascii")


def canonical_text(data: Any) -> str:
    """:func:`canonical_json` as text: in ASCII both sort alike."""
    try:
        return _ENCODER.encode(data)
    except (TypeError, ValueError) as error:
        raise LiteralError("the payload is not JSON", actual=str(error)) from error


def sha256(content: bytes) -> str:
    """``sha256:`` and the hexadecimal digest of ``content``."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Where bytes are and what they are. Only ``digest`` and ``size`` describe the content; ``uri`` may change."""

    uri: str
    digest: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"uri": self.uri, "digest": self.digest, "size": self.size}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BlobRef:
        """The inverse of :meth:`to_json`."""
        try:
            return cls(str(data["uri"]), str(data["digest"]), int(data["size"]))
        except (KeyError, TypeError, ValueError) as error:
            raise LiteralError("not a blob reference", actual=repr(data)[:200]) from error


@dataclass(frozen=True, slots=True)
class Literal:
    """A typed value in its kept form.

    Make one with :meth:`make`, which takes the digest. Two literals are the same value exactly when their digests are
    equal; where the bytes lie does not count. ``hash`` is what the author of a value says stands for it in cache keys,
    in place of the digest; ``vouched`` names the checks that found the value good when it was written. Neither is part
    of the value.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> literal = Literal.make(INTEGER, 3)
        >>> Literal.from_json(literal.to_json()) == literal
        True
    """

    type: LiteralType
    data: Any
    digest: str
    format: str = JSON_FORMAT
    version: int = JSON_VERSION
    ref: BlobRef | None = None
    refs: tuple[BlobRef, ...] = ()
    hash: str | None = None
    vouched: tuple[str, ...] = ()

    @classmethod
    def make(
        cls,
        type: LiteralType,
        data: Any,
        *,
        format: str = JSON_FORMAT,
        version: int = JSON_VERSION,
        ref: BlobRef | None = None,
        refs: Sequence[BlobRef] = (),
        content_digest: str | None = None,
        payload: bytes | None = None,
    ) -> Literal:
        """A literal with its digest.

        Args:
            type: what the value is.
            data: its JSON payload; for a blob format the small facts beside the blob (may be ``None``).
            format, version: which transformer format wrote it.
            ref: the blob with the value itself (formats other than JSON).
            refs: blobs inside a container's payload.
            content_digest: what stands for the content instead of the blob's bytes, from ``TypeTransformer.digest``.
            payload: the canonical JSON of ``data``, where the caller has it already.
        """
        content = canonical_json(data) if payload is None else payload
        digest = _digest(type, format, version, sha256(content), ref, refs, content_digest)
        return cls(type, data, digest, format, version, ref, tuple(refs))

    @property
    def is_erased(self) -> bool:
        """Whether the value was erased: its type and its digest are all that is left."""
        return self.format == ERASED_FORMAT

    @property
    def is_offloaded(self) -> bool:
        """Whether the JSON payload lies in a blob."""
        return self.format == JSON_FORMAT and self.ref is not None

    def offloaded(self, ref: BlobRef) -> Literal:
        """The same literal with its JSON payload in ``ref``; the digest does not change."""
        return replace(self, data=None, ref=ref)

    def inlined(self, payload: bytes) -> Literal:
        """The inverse of :meth:`offloaded`; refuses bytes that are not the ones that were offloaded."""
        if self.ref is None or sha256(payload) != self.ref.digest:
            raise LiteralError("the offloaded payload is damaged", place=self.ref.uri if self.ref else None)
        return replace(self, data=json.loads(payload), ref=None)

    def to_json(self) -> dict[str, Any]:
        """The envelope as plain data."""
        out: dict[str, Any] = {"format": self.format, "version": self.version, "type": self.type.to_json()}
        if self.ref is not None:
            out["ref"] = self.ref.to_json()
        if not self.is_offloaded:
            out["data"] = self.data
        out["digest"] = self.digest
        if self.refs:
            out["refs"] = [ref.to_json() for ref in self.refs]
        if self.hash is not None:
            out["hash"] = self.hash
        if self.vouched:
            out["vouched"] = list(self.vouched)
        return out

    @classmethod
    def from_json(cls, envelope: Mapping[str, Any]) -> Literal:
        """Read an envelope; raises :class:`LiteralError` where it is malformed or from a newer JSON format."""
        try:
            format, version = envelope["format"], envelope["version"]
            if format == JSON_FORMAT and version > JSON_VERSION:
                raise LiteralError(
                    "this literal was written by a newer version",
                    expected=f"JSON format up to {JSON_VERSION}",
                    actual=str(version),
                    hint="upgrade flytepath on this machine",
                )
            ref = envelope.get("ref")
            return cls(
                type=LiteralType.from_json(envelope["type"]),
                data=envelope.get("data"),
                digest=envelope["digest"],
                format=format,
                version=version,
                ref=None if ref is None else BlobRef.from_json(ref),
                refs=tuple(BlobRef.from_json(item) for item in envelope.get("refs", ())),
                hash=envelope.get("hash"),
                vouched=tuple(envelope.get("vouched", ())),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise LiteralError("not a literal", actual=repr(envelope)[:200]) from error

    def get(self, path: Path) -> Literal:
        """The literal at ``path`` inside this one: list indices, dict keys and field names.

        Needs no Python type. The payload must be inline.

        Raises:
            LiteralError: there is nothing at the path, or the payload is offloaded.

        Example:
            >>> from flytepath.model.types import INTEGER
            >>> Literal.make(LiteralType.list_of(INTEGER), [7, 8]).get((1,)).data
            8
        """
        if not path:
            return self
        _check_inline(self)
        type, data, scope = self.type, self.data, NO_SCOPE
        for position, step in enumerate(path):
            type, data, scope = step_into(type, data, scope, step, path[: position + 1])
        return _part(closed(type, scope), data, self.refs)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from flytepath.model.pydantic_support import json_object_schema

        return json_object_schema(cls)


def compose_list(type: LiteralType, items: Sequence[Literal]) -> Literal:
    """A list (or tuple) literal of ``type`` from the literals of its elements, without any Python type.

    Raises:
        LiteralError: an element is not of its declared type, there are too few or too many, or one is offloaded.
    """
    refs: list[BlobRef] = []
    item_types = type.items if type.kind == "tuple" else type.items * len(items)
    if type.kind not in ("list", "tuple") or len(item_types) != len(items):
        raise LiteralError("these items make no such value", expected=str(type), actual=f"{len(items)} items")
    data = [_embed(item, declared, refs) for item, declared in zip(items, item_types, strict=True)]
    return Literal.make(type, data, refs=refs)


def compose_dict(type: LiteralType, items: Mapping[str, Literal]) -> Literal:
    """A dict with string keys, or a struct, of ``type`` from the literals of its values.

    Raises:
        LiteralError: a value is not of its declared type or is offloaded, or a struct's field is missing or unknown.
    """
    refs: list[BlobRef] = []
    if type.kind == "dict" and type.items[0].kind == "string":
        return Literal.make(type, {key: _embed(item, type.items[1], refs) for key, item in items.items()}, refs=refs)
    if type.kind != "struct":
        raise LiteralError("values by name make no such value", expected=str(type), actual="a dict")
    declared = {field.name: closed(field.type, {type.name: type}) for field in type.fields}
    missing = [field.name for field in type.fields if field.required and field.name not in items]
    unknown = [name for name in items if name not in declared]
    if missing or unknown:
        raise LiteralError(
            f"there is no field {unknown[0]!r}" if unknown else f"the field {missing[0]!r} is missing",
            expected=str(type) + " with the fields " + ", ".join(declared),
            actual=", ".join(items),
        )
    data = {name: _embed(items[name], declared[name], refs) for name in declared if name in items}
    return Literal.make(type, data, refs=refs)


def compare(left: Literal, right: Literal) -> int | None:
    """-1, 0 or 1 for two scalars that have an order, ``None`` where there is none (NaN, different kinds).

    Numbers compare as numbers whatever their kind; enumerations with numbers as values by these; containers are
    only ever equal or without order.

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> compare(Literal.make(INTEGER, 2), Literal.make(INTEGER, 10))
        -1
    """
    left, right = _chosen(left), _chosen(right)
    a, b = _ordered(left), _ordered(right)
    if a is None or b is None:
        return 0 if left.digest == right.digest and not _is_nan(left) else None
    if a[0] != b[0]:
        return None
    return int(a[1] > b[1]) - int(a[1] < b[1])


def _chosen(literal: Literal) -> Literal:
    """What a union holds."""
    while literal.type.kind == "union":
        _check_inline(literal)
        literal = _alternative(literal)
    return literal


def _is_nan(literal: Literal) -> bool:
    return literal.type.kind in ("float", "decimal") and "NaN" in str(literal.data)


def _ordered(literal: Literal) -> tuple[str, Any] | None:
    """The value in its order, and the name of that order; ``None`` where there is no order."""
    kind, data = literal.type.kind, literal.data
    if literal.is_offloaded or _is_nan(literal):
        return None
    if kind == "decimal":
        import decimal

        return "number", decimal.Decimal(data)
    if kind in ("integer", "boolean", "float"):
        return "number", float(data) if kind == "float" else int(data)
    if kind == "timedelta":
        return kind, int(data)
    if kind == "datetime":
        return _moment(data)
    if kind == "time":
        return None if isinstance(data, dict) or "+" in data or "-" in data else (kind, data)
    if kind == "enum":
        value = dict(literal.type.values).get(data)
        return (f"enum {literal.type.name}", value) if isinstance(value, int | float) else None
    if kind in ("date", "uuid", "path", "string") and isinstance(data, str):
        return kind, data
    return None


def _moment(data: Any) -> tuple[str, Any]:
    import datetime as dt

    moment = dt.datetime.fromisoformat(data["at"] if isinstance(data, dict) else data)
    if moment.tzinfo is None:
        return "naive datetime", (moment, data["fold"] if isinstance(data, dict) else 0)
    return "datetime", moment


def _digest(
    type: LiteralType,
    format: str,
    version: int,
    data_digest: str,
    ref: BlobRef | None,
    refs: Sequence[BlobRef],
    content_digest: str | None,
) -> str:
    content = content_digest or (ref.digest if ref else "-")
    facts = [format, version, type.to_json(), "-" if content_digest else data_digest, content]
    return sha256(canonical_json([*facts, [item.digest for item in refs]]))


def _check_inline(literal: Literal) -> None:
    if literal.is_offloaded:
        place = literal.ref.uri if literal.ref else None
        raise LiteralError("an offloaded literal must be read before one looks into it", place=place)


def cast(literal: Literal, declared: LiteralType) -> Literal:
    """The same value as a literal of type ``declared``: an alternative becomes its union, and nothing else changes.

    Raises:
        LiteralError: the value is not of that type, or an offloaded one would have to change.

    Example:
        >>> from flytepath.model.types import INTEGER, NONE
        >>> cast(Literal.make(INTEGER, 1), LiteralType.union_of(INTEGER, NONE)).data
        {'tag': 0, 'value': 1}
    """
    if literal.type == declared or (declared.kind in BLOB_KINDS and fits(literal.type, declared)):
        return literal
    refs: list[BlobRef] = []
    made = Literal.make(declared, _embed(literal, declared, refs), refs=refs)
    return made if literal.hash is None else replace(made, hash=literal.hash)


def _embed(item: Literal, declared: LiteralType, refs: list[BlobRef]) -> Any:
    """The payload of ``item`` for a place of type ``declared`` in a container whose blobs are ``refs``."""
    _check_inline(item)
    offset = len(refs)
    if item.format != JSON_FORMAT or item.type.kind in BLOB_KINDS:
        if item.refs:
            raise LiteralError("a literal with more than one blob cannot be embedded in a container")
        if item.ref is not None:
            refs.append(item.ref)
        ref = None if item.ref is None else offset
        return refit(
            {"format": item.format, "version": item.version, "data": item.data, "ref": ref}, item.type, declared
        )
    refs.extend(item.refs)
    own = with_refs(item.type, item.data, lambda index: index + offset) if offset and item.refs else item.data
    return refit(own, item.type, declared)


def _alternative(union: Literal) -> Literal:
    """What a literal of a union type holds, as a literal of that alternative's type."""
    if union.data is None:
        return Literal.make(NONE, None)
    return _part(union.type.items[union.data["tag"]], union.data["value"], union.refs)


def _part(type: LiteralType, data: Any, refs: tuple[BlobRef, ...]) -> Literal:
    """A literal of its own from a payload inside another, with only the blobs it refers to."""
    if type.kind in BLOB_KINDS:
        ref = None if data.get("ref") is None else refs[data["ref"]]
        return Literal.make(type, data.get("data"), format=data["format"], version=data["version"], ref=ref)
    order: dict[int, int] = {}
    renumbered = with_refs(type, data, lambda index: order.setdefault(index, len(order)))
    return Literal.make(type, renumbered, refs=[refs[index] for index in order])
