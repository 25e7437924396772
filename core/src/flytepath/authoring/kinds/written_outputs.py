"""Outputs that a program leaves in files, read as values of their declared types."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flytepath.errors import DefinitionError, InputError, TypeTransformerFailedError
from flytepath.types import attempt_folder

if TYPE_CHECKING:
    from flytepath.model.types import LiteralType

_UNREADABLE: Final = frozenset({"dataframe", "iterator", "opaque"})
_PATHS: Final = frozenset({"file", "directory"})


def read_output(declared: Any, kind: str, path: Path, where: str) -> Any:
    """An output that a program left at ``path``, as a value of the declared type.

    Raises:
        TypeTransformerFailedError: what is there cannot be read as that type.
    """
    if kind in _PATHS:
        return str(path)
    from flytepath.types.text import parse_text

    try:
        text = path.read_text(encoding="utf-8")
        return text.removesuffix("\n") if kind == "string" else parse_text(declared, text.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise TypeTransformerFailedError(
            f"the output cannot be read: {error}", place=where, expected="a file of UTF-8 text", actual=str(path)
        ) from error
    except InputError as error:
        raise TypeTransformerFailedError(
            f"what was written is no value of the declared type: {error.message}",
            place=where + (error.place or ""),
            expected=error.expected,
            actual=error.actual,
        ) from error


def check_output_kind(declared: LiteralType, place: str) -> None:
    """Refuse the type of an output that no program can leave in a file.

    Raises:
        DefinitionError: with the types that can be.
    """
    inside = attempt_folder.holds(declared, _UNREADABLE | _PATHS)
    if inside and declared.kind not in _PATHS:
        raise DefinitionError(
            f"an output of type {declared} cannot be read from a file",
            place=place,
            expected="FlyteFile, FlyteDirectory, or a type whose text or JSON the program writes",
            hint="declare a FlyteFile and read it in the next task",
        )
