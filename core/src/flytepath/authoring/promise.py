"""Promises: what tasks return while a workflow is being compiled, standing for values to come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NoReturn, Protocol

from flytepath.errors import CompileError, FlytePathError

#: Frames of files below this folder are ours; a line reported to a user is never one of them.
_OUR_FOLDER = __file__.rpartition("authoring")[0]


def caller_line() -> str:
    """``file:line`` of the innermost frame that is not ours."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OUR_FOLDER):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Named(Protocol):
    """Something with a name."""

    name: str


class PromisingNode(Protocol):
    """What promises know of the node whose outputs they stand for."""

    @property
    def path(self) -> str: ...

    @property
    def task(self) -> Named: ...

    @property
    def upstream(self) -> set[str]: ...


class Promise:
    """The value of a workflow input (``node`` is ``None``) or of a node's output, or a part of it.

    Indexing and attribute access give promises of parts. What Python would have to compute now is an error.
    """

    __slots__ = ("_fp_name", "_fp_node", "_fp_path")

    def __init__(self, node: PromisingNode | None, name: str, path: tuple[str | int, ...] = ()) -> None:
        self._fp_node = node
        self._fp_name = name
        self._fp_path = path

    def __getitem__(self, key: str | int) -> Promise:
        if not isinstance(key, str | int) or isinstance(key, bool):
            self._refuse(f"index it with {key!r}", "use an integer or a string; slice inside a task")
        return Promise(self._fp_node, self._fp_name, (*self._fp_path, key))

    def __getattr__(self, name: str) -> Promise:
        if name.startswith("__"):
            raise AttributeError(name)
        return Promise(self._fp_node, self._fp_name, (*self._fp_path, name))

    def __rshift__(self, other: Any) -> Any:
        return _order(self, other)

    def __repr__(self) -> str:
        shown = "".join(f"[{step!r}]" if isinstance(step, int) else f".{step}" for step in self._fp_path)
        return f"<promise of {self._fp_node.path + '.' if self._fp_node else ''}{self._fp_name}{shown}>"

    def _refuse(self, what: str, hint: str) -> NoReturn:
        raise CompileError(
            f"a workflow cannot {what}: {self!r} has no value until the workflow runs", place=caller_line(), hint=hint
        )

    def __bool__(self) -> bool:  # noqa: PLE0304 - it only raises
        self._refuse(
            "branch on a promise", "decide inside a task; `if`, `and`, `or` and `not` need a value, a promise is none"
        )

    def __iter__(self) -> Iterator[Any]:
        self._refuse("iterate over a promise", "iterate inside a task, or index the promise: x[0], x[1]")

    def __len__(self) -> int:  # noqa: PLE0303 - it only raises
        self._refuse("take the length of a promise", "compute it inside a task")

    def _arithmetic(self, _other: Any) -> NoReturn:
        self._refuse("compute with a promise", "compute inside a task and return the result")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _arithmetic
    __floordiv__ = __mod__ = __pow__ = _arithmetic

    def _comparison(self, _other: Any) -> NoReturn:
        self._refuse("compare a promise", "compare inside a task and return the result")

    __lt__ = __le__ = __gt__ = __ge__ = _comparison
    __eq__ = _comparison
    __ne__ = _comparison
    __hash__ = object.__hash__


class VoidPromise:
    """What a task without outputs returns in a workflow: it can be ordered, and nothing else."""

    __slots__ = ("_fp_node",)

    def __init__(self, node: PromisingNode) -> None:
        self._fp_node = node

    def __rshift__(self, other: Any) -> Any:
        return _order(self, other)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise CompileError(
            f"{self._fp_node.task.name} returns nothing, so it has no {name!r}",
            place=caller_line(),
            hint="annotate the task's return type",
        )


def _order(first: Any, then: Any) -> Any:
    before = _node_of(first)
    after = _node_of(then)
    if after is None:
        raise CompileError("only what a task returned can come after '>>'", place=caller_line(), actual=repr(then))
    if before is not None:
        after.upstream.add(before.path)
    return then


def _node_of(value: Any) -> PromisingNode | None:
    if isinstance(value, Promise | VoidPromise):
        return value._fp_node
    if isinstance(value, tuple):
        for item in value:
            if isinstance(item, Promise) and item._fp_node is not None:
                return item._fp_node
    return None


def part_of(value: Any, path: tuple[str | int, ...], place: str) -> Any:
    """The part of a native ``value`` that a promise's path means."""
    for step in path:
        if isinstance(value, Promise):
            value = Promise(value._fp_node, value._fp_name, (*value._fp_path, step))
            continue
        try:
            by_name = isinstance(step, str) and not isinstance(value, dict)
            value = getattr(value, step) if by_name else value[step]  # type: ignore[arg-type]
        except (KeyError, IndexError, AttributeError, TypeError) as error:
            raise MissingPartError(f"there is no {step!r} in {type(value).__name__}", place=place) from error
    return value


def holds_promise(value: Any) -> bool:
    """Whether ``value`` is a promise, or a list, tuple or dict with one somewhere inside."""
    if isinstance(value, Promise | VoidPromise):
        return True
    if type(value) in (list, tuple):
        return any(holds_promise(item) for item in value)
    return type(value) is dict and any(holds_promise(item) for item in value.values())


class MissingPartError(FlytePathError, LookupError):
    """A workflow refers to a part that a task's output does not have."""

    code = "FP-MISSING-PART"
