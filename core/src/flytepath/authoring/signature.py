"""A function's inputs and outputs as its annotations declare them, and the binding of call arguments to them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flytepath.errors import (
    DefinitionError,
    MissingAnnotationError,
    MissingInputError,
    MissingReturnError,
    UnknownInputError,
)


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED: Final = _Required()


@dataclass(slots=True, frozen=True)
class Signature:
    """Inputs with their defaults (:data:`REQUIRED` for none), outputs, and the NamedTuple class of several outputs."""

    inputs: dict[str, Any]
    defaults: dict[str, Any]
    outputs: dict[str, Any]
    output_tuple: type[Any] | None = None


def read_signature(
    function: Callable[..., Any], what: str, *, pickle_untyped: bool = False, is_stub: bool = False
) -> Signature:
    """The signature of a task's or workflow's function.

    Args:
        function: the function.
        what: the word for it in errors.
        pickle_untyped: take what has no annotation as ``Any``.
        is_stub: the body is never run.

    Raises:
        DefinitionError: an input without annotation, ``*args`` or ``**kwargs``, an annotation that cannot be
            evaluated, or a value returned without a return annotation (and the other way round).
    """
    place = f"{function.__module__}.{function.__qualname__}"
    parameters = inspect.signature(function).parameters
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DefinitionError(
                f"a {what} cannot take *{parameter.name}", place=place, hint="name each input and annotate its type"
            )
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise DefinitionError(
                f"input {parameter.name!r} of the {what} has no name to its caller",
                place=f"{place}({parameter.name})",
                hint="take the '/' out of the signature: inputs are given by name",
            )
        if parameter.annotation is parameter.empty and not pickle_untyped:
            raise MissingAnnotationError(
                f"input {parameter.name!r} of the {what} has no type",
                place=f"{place}({parameter.name})",
                expected="an annotation such as x: int",
                hint="every input needs an annotation: values are checked and stored by it",
            )
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        hints = _hints_with_locals(function, place, error)
    returned = hints.pop("return", None)
    if "return" not in function.__annotations__ and _returns_value(function):
        if not pickle_untyped:
            raise _unannotated_return(what, place)
        returned = Any
    stub = is_stub or not _can_end(function)
    if not _takes_none(returned) and not stub and not _returns_value(function):
        raise MissingReturnError(
            f"the {what} declares that it returns {_shown(returned)} but has no return statement",
            place=place,
            hint="return a value, or annotate '-> None'",
        )
    outputs, output_tuple = read_outputs(returned)
    defaults = {n: REQUIRED if p.default is p.empty else p.default for n, p in parameters.items()}
    return Signature({name: hints.get(name, Any) for name in parameters}, defaults, outputs, output_tuple)


def _unannotated_return(what: str, place: str) -> MissingAnnotationError:
    return MissingAnnotationError(
        f"the {what} returns a value but declares no return type",
        place=place,
        expected="a return annotation such as -> int",
        hint="annotate what it returns, or '-> None'",
    )


def _hints_with_locals(function: Callable[..., Any], place: str, error: NameError) -> dict[str, Any]:
    """Annotations that name local classes of the function around the decorated one."""
    frame = inspect.currentframe()
    while frame is not None:
        try:
            return typing.get_type_hints(function, localns=dict(frame.f_locals), include_extras=True)
        except NameError:
            frame = frame.f_back
    raise DefinitionError(
        f"an annotation cannot be evaluated: {error}", place=place, hint="import or define the name before the function"
    ) from error


def read_outputs(returned: Any) -> tuple[dict[str, Any], type[Any] | None]:
    """Outputs by name: ``o0``, ``o1``, ... for a tuple's items, a NamedTuple's own names, ``o0`` for one value."""
    if returned is None or returned is type(None):
        return {}, None
    if isinstance(returned, type) and issubclass(returned, tuple) and hasattr(returned, "_fields"):
        hints = typing.get_type_hints(returned, include_extras=True)
        return {name: hints[name] for name in returned._fields}, returned
    arguments = typing.get_args(returned)
    if typing.get_origin(returned) is tuple and arguments and Ellipsis not in arguments:
        return {f"o{index}": item for index, item in enumerate(arguments)}, None
    return {"o0": returned}, None


def _returns_value(function: Callable[..., Any]) -> bool:
    """Whether the body has a ``return`` with a value that is not the constant ``None``, seen from its byte code."""
    import dis

    code = inspect.unwrap(function).__code__
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        return True
    previous = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "RETURN_CONST" and instruction.argval is not None:
            return True
        if instruction.opname == "RETURN_VALUE" and not (
            previous is not None and previous.opname == "LOAD_CONST" and previous.argval is None
        ):
            return True
        previous = instruction
    return False


def _can_end(function: Callable[..., Any]) -> bool:
    """Whether the body can end without raising; where it cannot, as in a stub, nothing that is promised is missing."""
    import dis

    code = inspect.unwrap(function).__code__
    return any(instruction.opname in ("RETURN_VALUE", "RETURN_CONST") for instruction in dis.get_instructions(code))


def _takes_none(returned: Any) -> bool:
    return returned in (None, type(None), Any) or type(None) in typing.get_args(returned)


def _shown(t: Any) -> str:
    return getattr(t, "__name__", None) or str(t)


def bind_arguments(
    name: str, parameters: Mapping[str, Any], defaults: Mapping[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Arguments by input name, defaults filled in.

    Raises:
        InputError: unexpected, missing or doubled arguments; it names them all.
    """
    names = tuple(parameters)
    if len(args) > len(names):
        raise UnknownInputError(
            f"{name}() takes {len(names)} inputs, {len(args)} were given by position",
            place=name,
            expected=", ".join(names) or "no inputs",
        )
    bound = dict(zip(names, args, strict=False))
    for key, value in kwargs.items():
        if key in bound:
            raise UnknownInputError(f"{name}() got input {key!r} twice", place=f"{name}({key})")
        if key not in parameters:
            raise UnknownInputError(
                f"{name}() has no input {key!r}",
                place=f"{name}({key})",
                expected=", ".join(names) or "no inputs",
                hint=_nearest(key, names),
            )
        bound[key] = value
    missing = []
    for key in names:
        if key not in bound:
            default = defaults.get(key, REQUIRED)
            if default is REQUIRED:
                missing.append(key)
            bound[key] = default
    if missing:
        raise MissingInputError(
            f"{name}() is missing {'input' if len(missing) == 1 else 'inputs'} {', '.join(map(repr, missing))}",
            place=name,
            expected=", ".join(names),
        )
    return bound if tuple(bound) == names else {key: bound[key] for key in names}


def _nearest(name: str, names: tuple[str, ...]) -> str | None:
    import difflib

    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else None
