"""What goes to a model and what comes back: values as the bytes of a content type, and bytes as values of a type."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin

from flytepath import FlyteFile, StructuredDataset
from flytepath.plugin import DefinitionError
from pydantic import TypeAdapter, ValidationError

from flyte_plugin_sagemaker.parameter_errors import InferenceResultError, ParameterValueError
from flyte_plugin_sagemaker.plain_values import plain_value

Json = Any
JSON: Final = "application/json"
JSON_LINES: Final = "application/jsonlines"
CSV: Final = "text/csv"
PARQUET: Final = "application/x-parquet"
_JSON_LINES: Final = frozenset({JSON_LINES, "application/x-jsonlines", "application/jsonl", "application/x-ndjson"})
_PARQUET: Final = frozenset({PARQUET, "application/vnd.apache.parquet", "application/parquet"})
_FRAMES: Final = frozenset({"pandas", "polars", "pyarrow"})


def encoded_body(value: Any, content_type: str, place: str) -> tuple[bytes, str]:
    """A value as the body of a request, and its content type.

    Text and bytes go as they are, a frame as CSV without a header unless the content type is JSON, JSON lines or
    Parquet, everything else as JSON.

    Args:
        value: what a task received.
        content_type: empty: by the value.
        place: for errors.

    Raises:
        ParameterValueError: it cannot be written so.

    Example:
        >>> encoded_body([[1, 2.5]], "", "x"), encoded_body([[1, 2.5], [3, 4]], "text/csv", "x")
        ((b'[[1, 2.5]]', 'application/json'), (b'1,2.5\\n3,4\\n', 'text/csv'))
    """
    if isinstance(value, bytes):
        return value, content_type or "application/octet-stream"
    if isinstance(value, str):
        return value.encode("utf-8"), content_type or "text/plain"
    if isinstance(value, FlyteFile):
        with value.open("rb") as stream:
            return stream.read(), content_type or "application/octet-stream"
    if isinstance(value, StructuredDataset) or is_frame(type(value)):
        return _frame_body(_pandas(value), content_type or CSV, place), content_type or CSV
    plain = plain_value(value, place)
    bare = _bare(content_type)
    if bare == CSV:
        return _csv(plain, place), content_type
    if bare in _JSON_LINES:
        rows = plain if isinstance(plain, list) else [plain]
        return "".join(json.dumps(row) + "\n" for row in rows).encode(), content_type
    if bare and bare != JSON and not bare.endswith("+json"):
        raise ParameterValueError(
            f"a {type(value).__name__} cannot be written as {content_type}",
            place=place,
            expected=f"{JSON}, {JSON_LINES}, {CSV}, or a body that is text or bytes",
        )
    return json.dumps(plain).encode(), content_type or JSON


def decoded_body(content: bytes, content_type: str, wanted: Any, place: str) -> Any:
    """The body of an answer as a value of a type.

    Args:
        content: the body.
        content_type: as the model says it.
        wanted: ``str``, ``bytes``, ``pandas.DataFrame``, or any type that JSON or CSV holds.
        place: for errors.

    Raises:
        InferenceResultError: it is no such value.

    Example:
        >>> decoded_body(b"0.5,0.25\\n", "text/csv; charset=utf-8", list[float], "x")
        [0.5, 0.25]
        >>> decoded_body(b'{"score": 1}', "application/json", dict[str, float], "x")
        {'score': 1.0}
    """
    if wanted is bytes:
        return content
    bare = _bare(content_type)
    try:
        if is_frame(wanted):
            return _frame(content, bare)
        if wanted is str:
            return content.decode("utf-8")
        if bare == CSV:
            return TypeAdapter(wanted).validate_python(_from_csv(content.decode("utf-8"), wanted))
        if bare in _JSON_LINES:
            lines = content.decode("utf-8").splitlines()
            return TypeAdapter(wanted).validate_python([json.loads(line) for line in lines if line.strip()])
        return TypeAdapter(wanted).validate_python(json.loads(content))
    except (ValidationError, ValueError) as error:
        told = f"{error.errors()[0]['msg']}" if isinstance(error, ValidationError) else str(error)
        raise InferenceResultError(
            f"what the model answered is no {getattr(wanted, '__name__', wanted)}: {told}",
            place=place,
            expected=str(wanted),
            actual=f"{content_type or 'no content type'}: {content[:200]!r}",
        ) from error


def check_result_type(wanted: Any, place: str) -> None:
    """Refuse a type that no answer can be read as.

    Raises:
        DefinitionError: neither frame nor text nor anything that JSON or CSV holds.
    """
    if wanted in (bytes, str, FlyteFile) or is_frame(wanted):
        return
    try:
        TypeAdapter(wanted)
    except Exception as error:
        raise DefinitionError(
            "no answer of a model can be read as this type",
            place=place,
            expected="str, bytes, pandas.DataFrame, FlyteFile, or a type that JSON holds",
            actual=repr(wanted)[:200],
        ) from error


def is_frame(kind: Any) -> bool:
    """Whether a class is that of a table, told without importing its library."""
    name = getattr(kind, "__name__", "")
    return isinstance(kind, type) and kind.__module__.partition(".")[0] in _FRAMES and name in ("DataFrame", "Table")


def _bare(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _pandas(value: Any) -> Any:
    if isinstance(value, StructuredDataset):
        import pandas as pd

        return value.open(pd.DataFrame).all()
    return value.to_pandas() if hasattr(value, "to_pandas") else value


def _frame_body(frame: Any, content_type: str, place: str) -> bytes:
    bare = _bare(content_type)
    if bare == CSV:
        return bytes(frame.to_csv(index=False, header=False).encode())
    if bare == JSON:
        return bytes(frame.to_json(orient="records").encode())
    if bare in _JSON_LINES:
        return bytes(frame.to_json(orient="records", lines=True).encode())
    if bare in _PARQUET:
        stream = io.BytesIO()
        frame.to_parquet(stream, index=False)
        return stream.getvalue()
    raise ParameterValueError(
        f"a frame cannot be written as {content_type}",
        place=place,
        expected=f"{CSV}, {JSON}, {JSON_LINES} or {PARQUET}",
    )


def _frame(content: bytes, bare: str) -> Any:
    import pandas as pd

    stream = io.BytesIO(content)
    if bare in _PARQUET:
        return pd.read_parquet(stream)
    if bare in _JSON_LINES:
        return pd.read_json(stream, lines=True)
    frame = pd.DataFrame(json.loads(content)) if bare == JSON else pd.read_csv(stream, header=None)
    return frame.rename(columns=str)


def _csv(plain: Json, place: str) -> bytes:
    rows = plain if isinstance(plain, list) else [plain]
    rows = rows if all(isinstance(row, list) for row in rows) else [rows]
    if any(isinstance(cell, Mapping | list) or cell is None for row in rows for cell in row):
        raise ParameterValueError(
            "CSV is rows of numbers and texts", place=place, expected="a list, or a list of lists", actual="deeper data"
        )
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()


def _from_csv(text: str, wanted: Any) -> Json:
    """Rows, or one row or one cell where the type has no place for more."""
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    inner = next(iter(get_args(wanted)), Any)
    if get_origin(wanted) in (list, tuple) and get_origin(inner) not in (list, tuple) and inner not in (list, Any):
        return [cell for row in rows for cell in row]
    if wanted in (list, Any) or get_origin(wanted) in (list, tuple):
        return rows
    if len(rows) == 1 and len(rows[0]) == 1:
        return rows[0][0]
    raise ValueError(f"{len(rows)} rows of CSV are no {wanted}")
