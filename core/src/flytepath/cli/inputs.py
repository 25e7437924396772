"""What follows NAME on a command line: inputs as options, typed by the signature of what is run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flytepath.authoring.entity import Entity
from flytepath.authoring.launch_plan import LaunchPlan
from flytepath.errors import FlytePathError, InputError, UnknownInputError

_BOOLEANS = ("true", "false")


@dataclass(slots=True)
class Given:
    """What was typed after NAME.

    Attributes:
        texts: the texts of each input, in order.
        own: options that are the command's own, to be read by it.
        wants_help: whether ``--help`` was there.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)
    wants_help: bool = False


def split_arguments(arguments: Sequence[str], entity: Entity, own: Mapping[str, bool]) -> Given:
    """Tell inputs from the command's own options; a name that both have is the input's.

    Args:
        arguments: what follows NAME.
        entity: what is to be run.
        own: the command's options, and whether they take a value.

    Raises:
        InputError: an unknown option, one without a value, or something that is no option.
    """
    given = Given()
    rest = list(arguments)[::-1]
    while rest:
        option = rest.pop()
        name, equals, value = option.partition("=")
        key = _input(name, entity)
        if key is not None:
            given.texts.setdefault(key, []).append(value if equals else _next(name, key, rest, entity))
        elif _negated(name, entity) is not None and not equals:
            given.texts.setdefault(_negated(name, entity) or "", []).append("false")
        elif name in ("-h", "--help"):
            given.wants_help = True
        elif name in own:
            given.own.append(option)
            if own[name] and not equals and rest:
                given.own.append(rest.pop())
        else:
            raise _unknown(option, name, entity)
    return given


def _input(option: str, entity: Entity) -> str | None:
    """The input that an option names, with ``-`` or ``_``."""
    if not option.startswith("--") or len(option) < 3:
        return None
    name = option[2:]
    if name in entity.inputs:
        return name
    name = name.replace("-", "_")
    return name if name in entity.inputs else None


def _negated(option: str, entity: Entity) -> str | None:
    """The flag that ``--no-flag`` turns off."""
    if not option.startswith("--no-"):
        return None
    name = _input(f"--{option[5:]}", entity)
    return name if name is not None and is_flag(entity, name) else None


def is_flag(entity: Entity, name: str) -> bool:
    """Whether an input is true or false, and so needs no value."""
    literal_type = entity.input_codecs[name].literal_type
    kinds = {item.kind for item in literal_type.items} - {"none"} if literal_type.kind == "union" else set()
    return literal_type.kind == "boolean" or kinds == {"boolean"}


def _next(option: str, key: str, rest: list[str], entity: Entity) -> str:
    if is_flag(entity, key):
        follows = rest[-1].lower() if rest else ""
        is_optional = entity.input_codecs[key].literal_type.kind == "union"
        return rest.pop() if follows in _BOOLEANS or (is_optional and follows in ("null", "none")) else "true"
    if not rest or (rest[-1].startswith("--") and _input(rest[-1].partition("=")[0], entity) is not None):
        raise InputError(
            f"{option} needs a value",
            place=f"{entity.name}({key})",
            expected=str(entity.input_codecs[key].literal_type),
            hint=f"write {option}=VALUE where the value starts with --" if rest else None,
        )
    return rest.pop()


def _unknown(option: str, name: str, entity: Entity) -> InputError:
    known = ", ".join(f"--{key}" for key in entity.inputs) or "it takes none"
    if not option.startswith("--") or option == "--":
        return InputError(
            f"unexpected argument {option!r}", place=entity.name, expected=f"inputs as --NAME VALUE: {known}"
        )
    key = name[2:].replace("-", "_")
    if isinstance(entity, LaunchPlan) and key in entity.fixed_inputs:
        return fixed(entity, key)
    close = difflib.get_close_matches(key, entity.inputs, n=1)
    return UnknownInputError(
        f"{entity.name} has no input {key!r}",
        place=f"{entity.name}({key})",
        expected=known,
        hint=f"did you mean {close[0]!r}?" if close else "options of the command stand before NAME",
    )


def fixed(plan: LaunchPlan, key: str) -> UnknownInputError:
    """The error of an input that a launch plan does not let anybody give."""
    return UnknownInputError(
        f"launch plan {plan.name} fixes input {key!r}",
        place=f"{plan.name}({key})",
        expected=", ".join(plan.inputs) or "no inputs: all of them are fixed",
        actual=f"fixed to {plan.fixed_inputs[key]!r}"[:200],
        hint=f"run the workflow {plan.workflow.name} itself to give it another value",
    )


def read_inputs(entity: Entity, texts: Mapping[str, Sequence[str]], file: Path | None) -> dict[str, Any]:
    """Every input as a Python value, from the inputs file and then from what was typed; defaults are filled in.

    Raises:
        InputError: an unknown, missing or unreadable input; missing ones are all named at once.
    """
    return entity.bind((), read_given(entity, texts, file))


def read_given(entity: Entity, texts: Mapping[str, Sequence[str]], file: Path | None) -> dict[str, Any]:
    """The inputs that are given, as Python values; others may be missing.

    Raises:
        InputError: an unknown or unreadable input.
    """
    from flytepath.types.text import parse_texts

    given = {} if file is None else _from_file(entity, file)
    for name, typed in texts.items():
        try:
            given[name] = parse_texts(entity.inputs[name], typed)
        except FlytePathError as error:
            error.place = f"--{name}{error.place or ''}"
            raise
    return given


def _from_file(entity: Entity, file: Path) -> dict[str, Any]:
    from flytepath.types.text import parse_json
    from flytepath.types.text_plain import plain_file

    expected = '{"input": value, ...}'
    try:
        data = plain_file(str(file), expected)
    except InputError as error:
        error.message = f"the inputs file cannot be read: {error.message}"
        error.place = str(file)
        raise
    if not isinstance(data, dict):
        raise InputError("the inputs file holds no object", place=str(file), expected=expected)
    read: dict[str, Any] = {}
    for name, value in data.items():
        if name not in entity.inputs:
            if isinstance(entity, LaunchPlan) and name in entity.fixed_inputs:
                raise fixed(entity, name)
            entity.bind((), {str(name): value})
        try:
            read[name] = parse_json(entity.inputs[name], value)
        except FlytePathError as error:
            error.place = f"{file}: {name}{error.place or ''}"
            raise
    return read


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` as often as it was given.

    Raises:
        InputError: one has no ``=``, or nothing before it.

    Example:
        >>> pairs("--env", ["A=1", "B=x=y"])
        {'A': '1', 'B': 'x=y'}
    """
    out: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"{option} takes KEY=VALUE", place=option, expected="KEY=VALUE", actual=text)
        out[key.strip()] = value
    return out
