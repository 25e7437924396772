"""``Echo``: a task that gives back what it takes, for a branch that has nothing to compute.

    flytepath run examples/echo.py shorten
    flytepath run examples/echo.py shorten --text Tea

What it shows:

- every branch of a ``conditional`` is a call; where the value is good as it is, ``Echo`` passes it on.
"""

from __future__ import annotations

from flytepath import Echo, conditional, kwtypes, task, workflow

unchanged = Echo(name="unchanged", inputs=kwtypes(text=str))


@task
def length(text: str) -> int:
    """How long it is."""
    return len(text)


@task
def cut(text: str, limit: int) -> str:
    """The beginning."""
    return f"{text[:limit]}..."


@workflow
def shorten(text: str = "a rose is a rose is a rose", limit: int = 10) -> str:
    """At most a few letters."""
    return (
        conditional("is it long?")
        .if_(length(text=text) > limit)
        .then(cut(text=text, limit=limit))
        .else_()
        .then(unchanged(text=text))
    )
