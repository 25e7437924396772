"""Inputs that a relaunch changes, read by the types that the stored workflow declares: no code of it is imported."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flytepath.client.plain_values import read_value
from flytepath.errors import FlytePathError, InputError, UnknownInputError
from flytepath.model.fitting import fits
from flytepath.model.launch_plan import LaunchPlanSpec
from flytepath.model.literal import Literal, cast, compose_list
from flytepath.model.task import Variable
from flytepath.model.types import LiteralType
from flytepath.model.workflow import WorkflowSpec
from flytepath.plugin.transformer import BlobSink

#: What inputs are for.
Spec = WorkflowSpec | LaunchPlanSpec
_BOOLEANS = ("true", "false")
#: Kinds of values that a path or a URI stands for, and the Python types that read them.
_PLACES = {
    "file": ("flytepath.types.files", "FlyteFile"),
    "directory": ("flytepath.types.directories", "FlyteDirectory"),
    "dataframe": ("flytepath.types.structured_dataset", "StructuredDataset"),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed after the id of what is run again.

    Attributes:
        texts: the texts of each input, in order.
        own: options that are the command's own.
    """

    texts: dict[str, list[str]]
    own: list[str]


def split(spec: Spec, arguments: Sequence[str], own: Mapping[str, bool]) -> Typed:
    """Tell inputs from the command's own options; a name that both have is the input's.

    Args:
        spec: the workflow that is run again.
        arguments: ``--NAME VALUE``, ``--NAME=VALUE``, ``--flag`` and ``--no-flag``; a list may be given item by item.
        own: the command's options, and whether they take a value.

    Raises:
        InputError: an unknown input, or one without a value.
    """
    variables = {variable.name: variable for variable in spec.interface.inputs}
    typed = Typed({}, [])
    rest = list(arguments)[::-1]
    while rest:
        option = rest.pop()
        name, equals, value = option.partition("=")
        key = _key(name, variables)
        negated = _key(name.replace("--no-", "--", 1), variables) if name.startswith("--no-") else None
        if key is not None:
            typed.texts.setdefault(key, []).append(value if equals else _next(name, variables[key], rest, spec))
        elif negated is not None and _is_flag(variables[negated].type) and not equals:
            typed.texts.setdefault(negated, []).append("false")
        elif name in own:
            typed.own.append(option)
            if own[name] and not equals and rest:
                typed.own.append(rest.pop())
        else:
            raise _unknown(option, name, spec)
    return typed


def read_changes(spec: Spec, texts: Mapping[str, Sequence[str]], sink: BlobSink) -> dict[str, Literal]:
    """The inputs as literals.

    Args:
        spec: the workflow that is run again.
        texts: what was typed for each.
        sink: takes files.

    Raises:
        InputError: a value is none of its type.
    """
    variables = {variable.name: variable for variable in spec.interface.inputs}
    return {name: _read(variables[name], given, sink) for name, given in texts.items()}


def _key(option: str, variables: Mapping[str, Variable]) -> str | None:
    if not re.match(r"--[^-]", option):
        return None
    name = option[2:]
    return next((each for each in (name, name.replace("-", "_")) if each in variables), None)


def _next(option: str, variable: Variable, rest: list[str], spec: Spec) -> str:
    if _is_flag(variable.type):
        return rest.pop() if rest and rest[-1].lower() in (*_BOOLEANS, "null", "none") else "true"
    if not rest or _key(rest[-1].partition("=")[0], {each.name: each for each in spec.interface.inputs}):
        raise InputError(f"{option} needs a value", place=option, expected=str(variable.type))
    return rest.pop()


def _is_flag(t: LiteralType) -> bool:
    kinds = {item.kind for item in t.items} - {"none"} if t.kind == "union" else {t.kind}
    return kinds == {"boolean"}


def _read(variable: Variable, texts: Sequence[str], sink: BlobSink) -> Literal:
    place, t = f"--{variable.name}", variable.type
    if t.kind == "list" and (len(texts) > 1 or not texts[0].lstrip().startswith("[")):
        return compose_list(t, [_value(t.items[0], text, sink, place) for text in texts])
    if len(texts) > 1:
        raise InputError(f"{variable.name} is given more than once", place=place, expected=str(t))
    return _value(t, texts[0], sink, place)


def _value(t: LiteralType, text: str, sink: BlobSink, place: str) -> Literal:
    alternatives = [item for item in t.items if item.kind in _PLACES] if t.kind == "union" else [t]
    if any(item.kind in _PLACES for item in alternatives) and text.lower() not in ("null", "none"):
        return _at_place(t, alternatives[0].kind, text, sink, place)
    return read_value(t, text, sink, place)


def _at_place(t: LiteralType, kind: str, text: str, sink: BlobSink, place: str) -> Literal:
    """The file, folder or table at a path or URI."""
    from importlib import import_module

    from flytepath.types.engine import codec
    from flytepath.types.text import parse_text

    module, name = _PLACES[kind]
    python_type = getattr(import_module(module), name)
    try:
        literal = codec(python_type).encode(parse_text(python_type, text), sink)
    except FlytePathError as error:
        error.place = place
        raise
    if not fits(literal.type, t):
        raise InputError(
            f"{text[:80]!r} is no {t}",
            place=place,
            expected=str(t),
            actual=str(literal.type),
            hint="run the workflow from its code to give a value of this type",
        )
    return cast(literal, t) if not literal.is_offloaded else literal


def _unknown(option: str, name: str, spec: Spec) -> InputError:
    known = ", ".join(f"--{variable.name}" for variable in spec.interface.inputs) or "it takes none"
    if not re.match(r"--[^-]", option):
        return InputError(
            f"unexpected argument {option!r}", place=spec.name, expected=f"inputs as --NAME VALUE: {known}"
        )
    key = name[2:].replace("-", "_")
    close = difflib.get_close_matches(key, [variable.name for variable in spec.interface.inputs], n=1)
    return UnknownInputError(
        f"{spec.name} has no input {key!r}",
        place=f"{spec.name}({key})",
        expected=known,
        hint=f"did you mean {close[0]!r}?" if close else None,
    )
