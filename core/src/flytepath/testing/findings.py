"""How the kit says that something is wrong: one error, with what was expected, what came, and what to do."""

from __future__ import annotations

from typing import NoReturn

from flytepath.errors import FlytePathError


class ConformanceError(FlytePathError, AssertionError):
    """A plugin breaks a rule of the contract. The hint says what its author should do."""

    code = "FP-CONFORMANCE"


def refuse(
    message: str,
    *,
    hint: str,
    place: str | None = None,
    expected: str | None = None,
    actual: str | None = None,
    cause: BaseException | None = None,
) -> NoReturn:
    """Raise a :class:`ConformanceError`; every finding must say what an author should do."""
    raise ConformanceError(message, place=place, expected=expected, actual=actual, hint=hint) from cause
