"""What the double makes of statements: how many there are, which bindings each has, and how each is played.

After the pages "Submitting multiple SQL statements in a single request" (the count must be right, error 000008, and
bindings go through all of them in order), ``SYSTEM$WAIT``, and "Access control privileges" (003001).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flyte_plugin_snowflake.testing.account import Account, Refusal

Json = Any
WAIT: Final = re.compile(r"system\$wait\((\d+(?:\.\d+)?)\)", re.IGNORECASE)
CANCEL: Final = re.compile(r"system\$cancel_query\('([^']+)'\)", re.IGNORECASE)
RESULT: Final = re.compile(r"result_scan\('([^']+)'\)", re.IGNORECASE)
#: What the service says of several statements, as the connector knows them by.
DONE_ALL: Final = "select 'Multiple statements executed successfully.' as \"multiple statement execution\""


def split(text: str, bindings: Mapping[str, Json] | None) -> list[tuple[str, dict[str, Json]]]:
    """The statements of a text, each with its own bindings, which are counted from 1 again."""
    import sqlglot

    pieces: list[tuple[str, dict[str, Json]]] = []
    start = used = number = 0
    tokens = sqlglot.tokenize(text, read="snowflake")
    ends = [(token.start, token.end + 1) for token in tokens if token.token_type.name == "SEMICOLON"]
    for first, after in [*ends, (len(text), len(text))]:
        inside = [token for token in tokens if start <= token.start < first]
        if inside:
            number = sum(token.token_type.name == "PLACEHOLDER" for token in inside)
            own = {str(at + 1): (bindings or {})[str(used + at + 1)] for at in range(number) if bindings}
            pieces.append((text[start:first], own))
            used += number
        start = after
    return pieces


def check_count(pieces: int, parameters: Mapping[str, Json]) -> None:
    """Refuse another number of statements than was said."""
    if not pieces:
        raise Refusal("000900", "SQL compilation error:\nEmpty SQL statement.", "42601")
    said = int(parameters.get("MULTI_STATEMENT_COUNT", 1))
    if said not in (0, pieces):
        raise Refusal(
            "000008", f"Actual statement count {pieces} did not match the desired statement count {said}.", "0A000"
        )


def check_rights(account: Account, text: str) -> None:
    """Refuse a table that the role has no rights on."""
    for name in account.forbidden:
        if re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE):
            raise Refusal(
                "003001",
                f"SQL access control error:\nInsufficient privileges to operate on table '{name.upper()}'.",
                "42501",
            )


def bindable(text: str, bindings: Mapping[str, Json] | None) -> tuple[str, dict[str, Json] | None]:
    """The statement with bindings that fakesnow takes: numbers with decimals, and floats, travel as text and are cast.

    Raises:
        Refusal: a number that is none, or of more than 38 digits ("Numeric data types").
    """
    if not bindings or any(isinstance(kept["value"], list) for kept in bindings.values()):
        return text, dict(bindings) if bindings else None
    import sqlglot

    places = [
        token.start for token in sqlglot.tokenize(text, read="snowflake") if token.token_type.name == "PLACEHOLDER"
    ]
    made = dict(bindings)
    for number, place in reversed(list(enumerate(places, 1))):
        kept = bindings.get(str(number))
        if kept is None or kept["value"] is None or kept["type"] not in ("FIXED", "REAL"):
            continue
        cast = _cast_of(kept["type"], str(kept["value"]))
        if cast:
            made[str(number)] = {"type": "TEXT", "value": kept["value"]}
            text = f"{text[:place]}{cast}{text[place + 1 :]}"
    return text, made


def _cast_of(kind: str, value: str) -> str:
    if kind == "REAL":
        return "cast(? as double)"
    found = re.fullmatch(r"[+-]?(\d+)(?:\.(\d+))?", value)
    digits = found.group(1).lstrip("0") + (found.group(2) or "") if found else ""
    if found is None or len(digits) > 38:
        raise Refusal("100038", f"Numeric value '{value}' is not recognized", "22018")
    return f"cast(? as number(38, {len(found.group(2))}))" if found.group(2) else ""


def seconds_of(text: str) -> float:
    """How long a statement runs: ``SYSTEM$WAIT`` says it."""
    found = WAIT.search(text)
    return float(found.group(1)) if found else 0.0


def playable(text: str) -> str:
    """The statement as fakesnow can run it."""
    return "select 'waited' as waited" if WAIT.search(text) else text


def cut(data: Json, rows: int, place: str) -> tuple[Json, dict[str, bytes]]:
    """A result in pieces, as large ones come: the first inside the answer, the others behind addresses.

    Args:
        data: of the answer.
        rows: of each piece.
        place: where the pieces are, as a URL that their number is put behind.
    """
    import pyarrow as pa

    content = data.get("rowsetBase64")
    if not content or rows <= 0:
        return data, {}
    table = pa.ipc.open_stream(base64.b64decode(content)).read_all()
    if table.num_rows <= rows:
        return data, {}
    pieces = [(part, _streamed(part)) for part in _parts(table, rows)]
    chunks = [
        {
            "url": f"{place}{number}",
            "rowCount": part.num_rows,
            "uncompressedSize": len(body),
            "compressedSize": len(body),
        }
        for number, (part, body) in enumerate(pieces)
        if number
    ]
    first = base64.b64encode(pieces[0][1]).decode()
    made = {**data, "rowsetBase64": first, "returned": pieces[0][0].num_rows, "chunks": chunks, "chunkHeaders": {}}
    return made, {f"{place}{number}": body for number, (_, body) in enumerate(pieces) if number}


def _parts(table: Any, rows: int) -> Iterator[Any]:
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def _streamed(table: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
