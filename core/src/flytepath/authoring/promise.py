"""Promises: what tasks return while a workflow is being compiled, standing for values to come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from flytepath.errors import CompileError, FlytePathError, PromiseBranchError, PromiseError

if TYPE_CHECKING:
    from flytepath.authoring.expressions import Comparison, Junction

#: Frames of files below this folder are ours; a line reported to a user is never one of them.
_OUR_FOLDER = __file__.rpartition("authoring")[0]


def caller_line() -> str:
    """``file:line`` of the innermost frame that is not ours."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OUR_FOLDER):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class PromisingNode(Protocol):
    """What promises know of the node whose outputs they stand for."""

    @property
    def path(self) -> str: ...

    @property
    def upstream(self) -> set[Any]: ...

    def override(self, changes: dict[str, Any]) -> None: ...


class Promise:
    """The value of a workflow input (``node`` is ``None``) or of a node's output, or a part of it.

    Indexing and attribute access give promises of parts, comparisons give conditions for ``conditional``. What Python
    would have to compute now is an error.
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
        return order(self, other)

    def __repr__(self) -> str:
        shown = "".join(f"[{step!r}]" if isinstance(step, int) else f".{step}" for step in self._fp_path)
        return f"<promise of {self._fp_node.path + '.' if self._fp_node else ''}{self._fp_name}{shown}>"

    def with_overrides(self, **changes: Any) -> Promise:
        """Change how the node behind this promise is run; see :func:`flytepath.create_node`."""
        override(self._fp_node, changes)
        return self

    # --- conditions ---

    def __eq__(self, other: object) -> Comparison:  # type: ignore[override]
        return self._compared("==", other)

    def __ne__(self, other: object) -> Comparison:  # type: ignore[override]
        return self._compared("!=", other)

    def __lt__(self, other: object) -> Comparison:
        return self._compared("<", other)

    def __le__(self, other: object) -> Comparison:
        return self._compared("<=", other)

    def __gt__(self, other: object) -> Comparison:
        return self._compared(">", other)

    def __ge__(self, other: object) -> Comparison:
        return self._compared(">=", other)

    __hash__ = object.__hash__

    def is_true(self) -> Comparison:
        """The condition that a boolean is ``True``."""
        return self._compared("==", True)

    def is_false(self) -> Comparison:
        """The condition that a boolean is ``False``."""
        return self._compared("==", False)

    def is_none(self) -> Comparison:
        """The condition that an optional value is ``None``."""
        return self._compared("==", None)

    def _compared(self, operator: str, other: object) -> Comparison:
        from flytepath.authoring.expressions import Comparison

        return Comparison(operator, self, other, caller_line())

    def __and__(self, other: Any) -> Junction:
        joined: Junction = self.is_true() & other
        return joined

    def __or__(self, other: Any) -> Junction:
        joined: Junction = self.is_true() | other
        return joined

    def __rand__(self, _other: Any) -> NoReturn:
        self._refuse("join this with & or |", "put each comparison in parentheses: (a > 1) & (b < 2)")

    __ror__ = __rand__

    # --- what cannot be ---

    def _refuse(self, what: str, hint: str, kind: type[CompileError] = PromiseError) -> NoReturn:
        raise kind(
            f"a workflow cannot {what}: {self!r} has no value until the workflow runs", place=caller_line(), hint=hint
        )

    def __bool__(self) -> bool:  # noqa: PLE0304 - it only raises
        self._refuse(
            "branch on a promise",
            "use conditional(...).if_(x.is_true()), with & and | between conditions, or decide inside a task",
            PromiseBranchError,
        )

    def __invert__(self) -> NoReturn:
        self._refuse("negate a promise", "use x.is_false()", PromiseBranchError)

    def __iter__(self) -> Iterator[Any]:
        self._refuse("iterate over a promise", "use map_task, iterate inside a task or a dynamic, or index it: x[0]")

    def __len__(self) -> int:  # noqa: PLE0303 - it only raises
        self._refuse("take the length of a promise", "compute it inside a task")

    def __contains__(self, _item: object) -> bool:
        self._refuse("look into a promise", "decide inside a task")

    def __format__(self, _form: str) -> str:
        self._refuse("write a promise into text", "format inside a task; repr(x) and f'{x!r}' show the promise itself")

    def __str__(self) -> str:
        return self.__format__("")

    def __call__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        self._refuse("call a promise", "call the method inside a task")

    def _number(self) -> NoReturn:
        self._refuse(
            "make a number of a promise", "compute inside a task, or repeat inside a @dynamic, whose inputs are values"
        )

    __int__ = __float__ = __index__ = __complex__ = __round__ = _number

    def _arithmetic(self, _other: Any) -> NoReturn:
        self._refuse("compute with a promise", "compute inside a task and return the result")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _arithmetic
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _arithmetic
    __xor__ = __lshift__ = _arithmetic

    def _sign(self) -> NoReturn:
        self._arithmetic(None)

    __neg__ = __pos__ = __abs__ = _sign


class VoidPromise:
    """What a task without outputs returns in a workflow: it can be ordered and configured, and nothing else."""

    __slots__ = ("_fp_node",)

    def __init__(self, node: PromisingNode) -> None:
        self._fp_node = node

    def __rshift__(self, other: Any) -> Any:
        return order(self, other)

    def with_overrides(self, **changes: Any) -> VoidPromise:
        """Change how the node is run."""
        override(self._fp_node, changes)
        return self

    def __repr__(self) -> str:
        return f"<nothing, from {self._fp_node.path}>"

    def __bool__(self) -> bool:
        raise PromiseBranchError(
            f"a workflow cannot branch on {self!r}", place=caller_line(), hint="annotate the task's return type"
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise PromiseError(
            f"{self!r} has no {name!r}: what was called returns nothing",
            place=caller_line(),
            hint="annotate the task's return type",
        )


class Promises(tuple[Promise, ...]):
    """The promises of a node with several outputs."""

    __slots__ = ()

    def with_overrides(self, **changes: Any) -> Promises:
        """Change how the node is run."""
        override(node_of(self), changes)
        return self

    def __rshift__(self, other: Any) -> Any:
        return order(self, other)


_named: dict[type[Any], type[Any]] = {}


def named_promises(output_tuple: type[Any]) -> type[Any]:
    """``output_tuple`` with what :class:`Promises` can do; made once per class."""
    found = _named.get(output_tuple)
    if found is None:
        space = {name: Promises.__dict__[name] for name in ("with_overrides", "__rshift__")}
        found = _named[output_tuple] = type(output_tuple.__name__, (output_tuple,), {"__slots__": (), **space})
    return found


def order(first: Any, then: Any) -> Any:
    """Let the node of ``then`` wait for the node of ``first``; what ``first >> then`` does."""
    before = node_of(first)
    after = node_of(then)
    if after is None:
        raise PromiseError("only what a task returned can come after '>>'", place=caller_line(), actual=repr(then))
    if before is not None:
        after.upstream.add(before)
    return then


def override(node: PromisingNode | None, changes: dict[str, Any]) -> None:
    """Apply ``with_overrides`` to a node; a workflow's input has none."""
    if node is None:
        raise PromiseError(
            "a workflow's input has nothing to override", place=caller_line(), hint="override what a task returned"
        )
    node.override(changes)


def node_of(value: Any) -> PromisingNode | None:
    """The node that ``value``, a promise, a tuple of them or a node, belongs to."""
    if isinstance(value, Promise | VoidPromise):
        return value._fp_node
    if isinstance(value, tuple):
        for item in value:
            if isinstance(item, Promise) and item._fp_node is not None:
                return item._fp_node
        return None
    return value if hasattr(type(value), "override") and hasattr(value, "upstream") else None


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
    kind = type(value)
    if kind is Promise or kind is VoidPromise:
        return True
    if kind is list or isinstance(value, tuple):
        return any(holds_promise(item) for item in value)
    return kind is dict and any(holds_promise(item) for item in value.values())


class MissingPartError(FlytePathError, LookupError):
    """A workflow refers to a part that a task's output does not have."""

    code = "FP-MISSING-PART"
