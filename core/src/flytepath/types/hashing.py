"""``HashMethod``: what stands for a value in the keys of the cache, as its author says, in place of its content."""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from flytepath.errors import DefinitionError, TypeTransformerFailedError
from flytepath.types.converter import type_name, within

T = TypeVar("T")

#: What computes the hash of a value.
Hasher = Callable[[Any], str]


class HashMethod(Generic[T]):
    """In ``Annotated[T, HashMethod(function)]``: how to hash a value for the cache of the tasks that take it.

    The hash is taken once, by the task that gives the value, and travels with it. Two values of the same hash are one
    to a cached task, whatever is in them.

    Args:
        function: takes a value and returns a string; it must be the same for equal values, in every process.

    Raises:
        DefinitionError: ``function`` cannot be called.

    Example:
        >>> HashMethod(lambda table: str(len(table))).calculate([1, 2, 3])
        '3'
    """

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[T], str]) -> None:
        if not callable(function):
            raise DefinitionError(
                "HashMethod needs a function", expected="a function of the value", actual=type_name(type(function))
            )
        self._function = function

    def calculate(self, obj: T) -> str:
        """The hash of ``obj``.

        Raises:
            TypeTransformerFailedError: the function returned something else than a string.
        """
        made = self._function(obj)
        if type(made) is not str:
            raise TypeTransformerFailedError(
                f"a HashMethod must return a string, got {type_name(type(made))}",
                expected="str",
                actual=type_name(type(made)),
                hint="return for example hashlib.sha256(content).hexdigest()",
            )
        return made

    def __eq__(self, other: object) -> bool:
        return type(other) is HashMethod and other._function == self._function

    def __hash__(self) -> int:
        return hash((HashMethod, self._function))

    def __repr__(self) -> str:
        return f"HashMethod({getattr(self._function, '__qualname__', self._function)})"


def hasher_of(t: Any, markers: tuple[Any, ...] = ()) -> Hasher | None:
    """What hashes values of ``t``: its own ``HashMethod``, or those of the items of a list or dict.

    Args:
        t: a Python type, with the ``Annotated`` inside it.
        markers: what ``Annotated`` says of ``t`` itself.

    Raises:
        DefinitionError: more than one ``HashMethod`` for one value.

    Example:
        >>> hasher_of(list[int]) is None
        True
        >>> of_names = hasher_of(list[typing.Annotated[str, HashMethod(str.upper)]])
        >>> of_names(["a", "b"]) == of_names(["A", "B"])
        True
    """
    own = [marker for marker in markers if isinstance(marker, HashMethod)]
    if len(own) > 1:
        raise DefinitionError(f"{type_name(t)} has more than one HashMethod", expected="one", actual=str(len(own)))
    if own:
        return own[0].calculate
    if typing.get_origin(t) is typing.Annotated:
        return hasher_of(t.__origin__, t.__metadata__)
    origin, arguments = typing.get_origin(t), typing.get_args(t)
    if origin not in (list, dict):
        return None
    inner = hasher_of(arguments[-1])
    if inner is None:
        return None
    return _list_hasher(inner) if origin is list else _dict_hasher(inner)


#: Tells the hash of a container from one that an author's function made.
_ITEMS: Final = "items:"


def _together(parts: list[Any]) -> str:
    return _ITEMS + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _list_hasher(inner: Hasher) -> Hasher:
    def hash_items(value: Any) -> str:
        return _together([_at(inner, item, f"[{index}]") for index, item in enumerate(value)])

    return hash_items


def _dict_hasher(inner: Hasher) -> Hasher:
    def hash_items(value: Any) -> str:
        return _together(sorted([repr(key), _at(inner, item, f"[{key!r}]")] for key, item in value.items()))

    return hash_items


def _at(inner: Hasher, item: Any, step: str) -> str:
    try:
        return inner(item)
    except TypeTransformerFailedError as error:
        raise within(error, step) from error.__cause__
