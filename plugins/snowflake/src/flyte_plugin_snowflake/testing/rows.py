"""Rows as the service keeps and sends them, where fakesnow does it otherwise.

A moment that is missing is null, and not the beginning of 1970: it is a struct of seconds and nanoseconds, null as a
whole. ``INSERT OVERWRITE`` is one statement, done as a whole or not at all (page "INSERT").
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

Json = Any
_OVERWRITE: Final = re.compile(r"^\s*insert\s+overwrite\s+into\b", re.IGNORECASE)
_OVERWRITTEN: Final = re.compile(r"\boverwrite\s*=\s*true\b", re.IGNORECASE)


async def as_one(ask: Callable[[str, Json], Awaitable[Json]], text: str, bindings: Json) -> Json:
    """The answer to a statement, of which nothing is seen until all of it is done.

    Args:
        ask: asks fakesnow, which knows an ``INSERT OVERWRITE`` as two statements only.
    """
    if not _OVERWRITE.match(text):
        return _as_asked(await ask(text, bindings), text)
    begun = await ask("begin", None)
    answer = await ask(text, bindings)
    ended = await ask("commit" if answer.get("success") else "rollback", None)
    return answer if begun.get("success") and ended.get("success") else {**ended, "success": False}


def _as_asked(answer: Json, text: str) -> Json:
    """The answer to a ``PUT``: where the storage is, and whether a file may be overwritten. Version 5 heeds both."""
    data = answer.get("data") or {}
    if isinstance(data.get("stageInfo"), dict):
        data["stageInfo"].setdefault("region", "local")
        data["overwrite"] = _OVERWRITTEN.search(text) is not None
    return answer


def with_missing_moments(data: Json) -> Json:
    """The data of an answer with structs that are null where their seconds are."""
    import pyarrow as pa

    content = (data or {}).get("rowsetBase64")
    if not content:
        return data
    table = pa.ipc.open_stream(base64.b64decode(content)).read_all()
    changed = False
    for position, field in enumerate(table.schema):
        if not (pa.types.is_struct(field.type) and field.type.num_fields and field.type.field(0).name == "epoch"):
            continue
        column = table.column(position).combine_chunks()
        whole = column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks else column
        if not len(whole) or not whole.field(0).null_count:
            continue
        missing = whole.field(0).is_null()
        parts = [whole.field(number).fill_null(0) for number in range(field.type.num_fields)]
        made = pa.StructArray.from_arrays(parts, fields=list(field.type), mask=missing)
        table = table.set_column(position, field, made)
        changed = True
    if not changed:
        return data
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return {**data, "rowsetBase64": base64.b64encode(sink.getvalue()).decode()}
