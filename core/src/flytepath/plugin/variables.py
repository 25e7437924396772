"""Environment variables that are set for a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def variables_set(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Environment variables of this process, for as long as the body runs; one that is ``None`` is not set.

    Example:
        >>> with variables_set({"GREETING": "hello"}):
        ...     os.environ["GREETING"]
        'hello'
    """
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
