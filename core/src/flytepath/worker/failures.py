"""The record of what a task raised: the user's own frames, and the fields of an error of ours."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import flytepath
from flytepath.errors import (
    BoundaryCheckError,
    FlytePathError,
    RecoverableError,
    TypeTransformerFailedError,
)
from flytepath.model.events import ErrorRecord
from flytepath.plugin.secrets import SecretNotFoundError

_OUR_FOLDER = str(Path(flytepath.__file__).parent)


def error_record(error: BaseException, task: str, code_path: str) -> ErrorRecord:
    """The error as it is kept: the user's own frames, our fields where it is one of ours.

    Files of the code bundle at ``code_path`` are named as the user knows them, below the bundle's root.
    """
    record = _record(error, task, code_path)
    # The name of a file may hold what is no character, and neither a message nor a blob can.
    odd = {name: value for name, value in record if isinstance(value, str) and not value.isascii()}
    told = {name: value.encode("utf-8", "backslashreplace").decode() for name, value in odd.items()}
    return record if told == odd else record.model_copy(update=told)


def _record(error: BaseException, task: str, code_path: str) -> ErrorRecord:
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OUR_FOLDER)
    ]
    frames = [frame for frame in frames if not frame.filename.startswith("<frozen importlib")]
    text = "".join(traceback.format_list(frames)) if frames else ""
    causes = "".join(traceback.format_exception(error.__cause__)) if error.__cause__ is not None else ""
    trace = f"{causes}{text}".replace(f"{code_path}{os.sep}", "") if code_path else f"{causes}{text}"
    trace += "".join(f"{note}\n" for note in getattr(error, "__notes__", ()))
    kind = type(error)
    shown = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "builtins" else kind.__qualname__
    if isinstance(error, FlytePathError):
        record = ErrorRecord.of(
            error,
            kind=error.blame,
            type=shown,
            place=task,
            traceback=trace,
            recoverable=not isinstance(error, TypeTransformerFailedError | BoundaryCheckError | SecretNotFoundError)
            or isinstance(error, RecoverableError),
        )
        if not code_path or record.place is None:
            return record
        return record.model_copy(update={"place": record.place.replace(f"{code_path}{os.sep}", "")})
    message = str(error)
    return ErrorRecord(
        kind="user",
        code="FP-TASK-FAILED",
        type=shown,
        message=f"{shown}: {message}" if message else shown,
        place=task,
        traceback=trace,
    )
