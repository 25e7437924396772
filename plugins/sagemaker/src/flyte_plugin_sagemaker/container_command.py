"""What a training container runs, within the lengths that SageMaker takes: 256 letters an argument, 512 a variable.

Longer ones travel in pieces, in further variables, and a shell puts them together before it becomes the command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flyte_plugin_sagemaker.errors import SageMakerRequestError

Json = Any

ARGUMENT_LIMIT: Final = 256
ARGUMENTS_LIMIT: Final = 100
VALUE_LIMIT: Final = 512
VARIABLES_LIMIT: Final = 100
_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,511}")
_PIECE: Final = "FLYTEPATH_PIECE_"


@dataclass(frozen=True, slots=True)
class ContainerCommand:
    """The entry point of a container, and its variables.

    Args:
        entrypoint: what is run.
        environment: its variables.
    """

    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]


def container_command(argv: Sequence[str], variables: Mapping[str, str], place: str) -> ContainerCommand:
    """The command as SageMaker takes it.

    Args:
        argv: what is to be run.
        variables: with what.
        place: the task, for errors.

    Raises:
        SageMakerRequestError: a variable without a proper name, or too many of them.

    Example:
        >>> container_command(["python", "-c", "1"], {"UNIT": "mm"}, "flow.f").entrypoint
        ('python', '-c', '1')
        >>> long = container_command(["python", "x" * 600], {}, "flow.f")
        >>> [len(value) for value in long.environment.values()]
        [512, 88]
    """
    for name in variables:
        if not _NAME.fullmatch(name):
            raise SageMakerRequestError(
                f"{name!r} is no variable of a container at SageMaker",
                place=f"{place}(environment)",
                expected="letters, digits and _, with no digit first, at most 512",
            )
    pieces: dict[str, str] = {}

    def reference(text: str) -> str:
        """Double-quoted shell text that stands for a long one."""
        names = []
        for at in range(0, len(text), VALUE_LIMIT):
            names.append(f"{_PIECE}{len(pieces)}")
            pieces[names[-1]] = text[at : at + VALUE_LIMIT]
        return '"' + "".join(f"${{{name}}}" for name in names) + '"'

    short = {name: value for name, value in variables.items() if len(value) <= VALUE_LIMIT}
    exports = [f"export {name}={reference(value)}" for name, value in sorted(variables.items()) if name not in short]
    entry = tuple(argv)
    if exports or len(entry) > ARGUMENTS_LIMIT or any(len(part) > ARGUMENT_LIMIT for part in entry):
        words = [reference(part) if len(part) > ARGUMENT_LIMIT or "\n" in part else _quoted(part) for part in entry]
        entry = ("/bin/sh", "-c", _script(exports, words, reference))
    environment = {**short, **pieces}
    if len(environment) > VARIABLES_LIMIT:
        raise SageMakerRequestError(
            "the container would have more variables than SageMaker takes",
            place=f"{place}(environment)",
            expected=f"at most {VARIABLES_LIMIT}, where {VALUE_LIMIT} letters of a long value count as one",
            actual=str(len(environment)),
        )
    return ContainerCommand(entry, environment)


def _script(exports: list[str], words: list[str], reference: Any) -> str:
    script = "; ".join([*exports, "exec " + " ".join(words)])
    if len(script) <= ARGUMENT_LIMIT:
        return script
    return f"eval {reference(script)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


__all__ = ["ContainerCommand", "container_command"]
