"""The literal: a typed value as it is kept, sent and compared, readable without the Python type it came from.

An envelope ``{format, version, type, data | ref, digest, refs[]}``. A container is *one* JSON payload; where its type
says file, directory, dataframe, iterator or opaque, the payload holds an embedded object
``{"format", "version", "data", "ref": index into refs | null}`` and the bytes stay in a blob.

Exact rules of the JSON payload, by kind (golden files in ``core/tests/golden`` hold them for ever):

========== =======================================================================================================
none        ``null``
boolean     ``true`` / ``false``
integer     a JSON number within ±(2**53 - 1), beyond it a string of decimal digits
float       a JSON number, or ``"NaN"``, ``"Infinity"``, ``"-Infinity"``; ``-0.0`` keeps its sign
string      a JSON string; lone surrogates are escaped
bytes       base64 (RFC 4648, padded)
decimal     a string, as ``str(Decimal)``
datetime    ISO 8601 with microseconds as needed; ``{"at", "zone", "fold"}`` where an IANA zone is known
date, time  ISO 8601 (``time`` may carry an offset)
timedelta   whole microseconds, as an integer
uuid, path  a string
list, tuple, set, frozenset   an array (sets are ordered by the canonical JSON of their items)
dict        an object where keys are strings, else an array of ``[key, value]`` pairs; order is kept
struct      an object by field name
enum        the member's name
union       ``{"tag": index of the alternative, "value": payload}``; ``None`` in an optional is ``null``
any         the JSON value itself
========== =======================================================================================================
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from flytepath.errors import LiteralError
from flytepath.model.types import BLOB_KINDS, LiteralType

#: The format of values that are JSON as described above.
JSON_FORMAT: Final = "json"
JSON_VERSION: Final = 1
#: Payloads over this many bytes are kept in the blob store; ``data`` is then empty and ``ref`` points to it.
INLINE_LIMIT: Final = 32 * 1024

Path = tuple[str | int, ...]


def canonical_json(data: Any) -> bytes:
    """The one byte form that digests are taken of: ASCII, no white space, order kept, no NaN."""
    try:
        return json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
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
    equal; where the bytes lie does not count.

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
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise LiteralError("not a literal", actual=repr(envelope)[:200]) from error

    def get(self, path: Path) -> Literal:
        """The literal at ``path`` inside this one: list indices, dict keys and field names.

        Needs no Python type. The payload must be inline.

        Example:
            >>> from flytepath.model.types import INTEGER
            >>> Literal.make(LiteralType.list_of(INTEGER), [7, 8]).get((1,)).data
            8
        """
        type, data = self.type, self.data
        for position, step in enumerate(path):
            type, data = _step(type, data, step, path[: position + 1])
        return self._embedded(type, data) if type.kind in BLOB_KINDS and path else _json_part(type, data, self.refs)

    def _embedded(self, type: LiteralType, data: Any) -> Literal:
        ref = None if data.get("ref") is None else self.refs[data["ref"]]
        return Literal.make(type, data.get("data"), format=data["format"], version=data["version"], ref=ref)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from flytepath.model.pydantic_support import json_object_schema

        return json_object_schema(cls)


def compose_list(type: LiteralType, items: Sequence[Literal]) -> Literal:
    """A list (or tuple) literal of ``type`` from the literals of its elements, without any Python type."""
    refs: list[BlobRef] = []
    item_types = type.items if type.kind == "tuple" else type.items * len(items)
    data = [_embed(item, declared, refs) for item, declared in zip(items, item_types, strict=True)]
    return Literal.make(type, data, refs=refs)


def compose_dict(type: LiteralType, items: Mapping[str, Literal]) -> Literal:
    """A dict with string keys, or a struct, of ``type`` from the literals of its values."""
    refs: list[BlobRef] = []
    declared = {f.name: f.type for f in type.fields}
    data = {key: _embed(item, declared.get(key) or type.items[1], refs) for key, item in items.items()}
    return Literal.make(type, data, refs=refs)


def compare(left: Literal, right: Literal) -> int | None:
    """-1, 0 or 1 for two scalars that have an order, ``None`` where there is none (NaN, different kinds).

    Example:
        >>> from flytepath.model.types import INTEGER
        >>> compare(Literal.make(INTEGER, 2), Literal.make(INTEGER, 10))
        -1
    """
    if left.digest == right.digest and left.data != "NaN":
        return 0
    a, b = _ordered(left), _ordered(right)
    if a is None or b is None or isinstance(a, str) is not isinstance(b, str):
        return None
    if isinstance(a, str) and left.type.kind != right.type.kind:
        return None
    if a == b:
        return 0
    if a < b:
        return -1
    return 1 if a > b else None


def _ordered(literal: Literal) -> Any:
    import datetime as dt
    import decimal

    kind, data = literal.type.kind, literal.data
    if kind in ("integer", "timedelta"):
        return int(data)
    if kind in ("float", "decimal"):
        value = decimal.Decimal(data) if kind == "decimal" else float(data)
        return None if math.isnan(value) else value
    if kind == "boolean":
        return int(data)
    if kind == "datetime":
        text = data["at"] if isinstance(data, dict) else data
        moment = dt.datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo else text
    return data if kind in ("string", "date", "time", "enum", "uuid", "path") else None


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


def _embed(item: Literal, declared: LiteralType, refs: list[BlobRef]) -> Any:
    """The payload of ``item`` for a place of type ``declared`` in a container whose blobs are ``refs``."""
    if item.is_offloaded:
        raise LiteralError(
            "an offloaded literal must be read before it is composed", place=item.ref.uri if item.ref else None
        )
    if declared.kind == "union" and item.type.kind != "union":
        return _embed_union(item, declared, refs)
    if item.format != JSON_FORMAT:
        ref = None
        if item.ref is not None:
            ref = len(refs)
            refs.append(item.ref)
        return {"format": item.format, "version": item.version, "data": item.data, "ref": ref}
    offset = len(refs)
    refs.extend(item.refs)
    return _shift(item.data, item.type, offset) if offset and item.refs else item.data


def _embed_union(item: Literal, declared: LiteralType, refs: list[BlobRef]) -> Any:
    if item.type.kind == "none":
        return None
    for tag, alternative in enumerate(declared.items):
        if alternative == item.type:
            return {"tag": tag, "value": _embed(item, alternative, refs)}
    raise LiteralError("no alternative of the union fits", expected=str(declared), actual=str(item.type))


def _shift(data: Any, type: LiteralType, offset: int) -> Any:
    """The same payload with every reference index moved by ``offset``."""
    if type.kind in BLOB_KINDS:
        return data if data.get("ref") is None else {**data, "ref": data["ref"] + offset}
    if type.kind in ("list", "set", "frozenset"):
        return [_shift(item, type.items[0], offset) for item in data]
    if type.kind == "tuple":
        return [_shift(item, declared, offset) for item, declared in zip(data, type.items, strict=True)]
    if type.kind == "dict" and isinstance(data, dict):
        return {key: _shift(item, type.items[1], offset) for key, item in data.items()}
    if type.kind == "dict":
        return [[_shift(k, type.items[0], offset), _shift(v, type.items[1], offset)] for k, v in data]
    if type.kind == "struct":
        declared_fields = {f.name: f.type for f in type.fields}
        return {key: _shift(item, declared_fields[key], offset) for key, item in data.items()}
    if type.kind == "union" and data is not None:
        return {"tag": data["tag"], "value": _shift(data["value"], type.items[data["tag"]], offset)}
    return data


def _json_part(type: LiteralType, data: Any, refs: tuple[BlobRef, ...]) -> Literal:
    used: list[int] = []
    _collect_refs(type, data, used)
    if not used:
        return Literal.make(type, data)
    renumbered = _renumber(type, data, {old: new for new, old in enumerate(used)})
    return Literal.make(type, renumbered, refs=[refs[index] for index in used])


def _collect_refs(type: LiteralType, data: Any, used: list[int]) -> None:
    for inner_type, inner in _children(type, data):
        _collect_refs(inner_type, inner, used)
    if type.kind in BLOB_KINDS and isinstance(data, dict) and data.get("ref") is not None:
        used.append(data["ref"])


def _renumber(type: LiteralType, data: Any, order: Mapping[int, int]) -> Any:
    if type.kind in BLOB_KINDS:
        return data if data.get("ref") is None else {**data, "ref": order[data["ref"]]}
    if type.kind == "union":
        return data and {"tag": data["tag"], "value": _renumber(type.items[data["tag"]], data["value"], order)}
    if isinstance(data, dict):
        inner = [_renumber(t, d, order) for t, d in _children(type, data)]
        return dict(zip(data, inner, strict=True)) if inner else data
    if isinstance(data, list) and type.kind == "dict":
        return [[_renumber(type.items[0], k, order), _renumber(type.items[1], v, order)] for k, v in data]
    if isinstance(data, list):
        return [_renumber(t, d, order) for t, d in _children(type, data)]
    return data


def _children(type: LiteralType, data: Any) -> list[tuple[LiteralType, Any]]:
    if data is None:
        return []
    if type.kind in ("list", "set", "frozenset"):
        return [(type.items[0], item) for item in data]
    if type.kind == "tuple":
        return list(zip(type.items, data, strict=True))
    if type.kind == "struct":
        declared = {f.name: f.type for f in type.fields}
        return [(declared[key], item) for key, item in data.items()]
    if type.kind == "dict":
        if isinstance(data, dict):
            return [(type.items[1], item) for item in data.values()]
        return [part for k, v in data for part in ((type.items[0], k), (type.items[1], v))]
    if type.kind == "union":
        return [(type.items[data["tag"]], data["value"])]
    return []


def _step(type: LiteralType, data: Any, step: str | int, path: Path) -> tuple[LiteralType, Any]:
    try:
        if type.kind == "union" and data is not None:
            return _step(type.items[data["tag"]], data["value"], step, path)
        if type.kind in ("list", "tuple") and isinstance(step, int):
            return (type.items[0] if type.kind == "list" else type.items[step]), data[step]
        if type.kind == "dict":
            if isinstance(data, dict):
                return type.items[1], data[str(step)]
            return type.items[1], next(value for key, value in data if key == step)
        if type.kind == "struct":
            return next(f.type for f in type.fields if f.name == step), data[step]
        if type.kind == "any":
            return type, data[step]
    except (KeyError, IndexError, StopIteration, TypeError):
        pass
    shown = "".join(f"[{part!r}]" for part in path)
    raise LiteralError(f"there is nothing at {shown} in a value of type {type}", expected=str(type))


def cast(literal: Literal, declared: LiteralType) -> Literal:
    """The same value as a literal of type ``declared``: an alternative becomes its union, and nothing else changes.

    Example:
        >>> from flytepath.model.types import INTEGER, NONE
        >>> cast(Literal.make(INTEGER, 1), LiteralType.union_of(INTEGER, NONE)).data
        {'tag': 0, 'value': 1}
    """
    if literal.type == declared or declared.kind in BLOB_KINDS:
        return literal
    refs: list[BlobRef] = []
    return Literal.make(declared, _embed(literal, declared, refs), refs=refs)
