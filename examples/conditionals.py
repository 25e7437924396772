"""Branches: what a task found out decides what runs next; the other branches do not run.

    flytepath run examples/conditionals.py weather
    flytepath run examples/conditionals.py weather --celsius 31.5
    flytepath run examples/conditionals.py weather --celsius -300.0

What it shows:

- ``conditional(...).if_(...).then(...).elif_(...).else_()``: conditions are comparisons of promises, joined with
  ``&`` and ``|``;
- ``.is_true()`` for a promise that is a truth value, and a conditional in another one's branch:
  whether it is summer is asked only where it is cold;
- ``.fail(message)``: a branch that ends the run. The last command above takes it.
"""

from __future__ import annotations

from flytepath import conditional, task, workflow


@task
def to_kelvin(celsius: float) -> float:
    """The same temperature from absolute zero."""
    return celsius + 273.15


@task
def is_summer(month: int) -> bool:
    """Whether it is summer in the north."""
    return 6 <= month <= 8


@task
def say(text: str) -> str:
    """What there is to say."""
    return text


@workflow
def weather(celsius: float = 12.0, month: int = 7) -> str:
    """What to wear."""
    kelvin = to_kelvin(celsius=celsius)
    return (
        conditional("temperature")
        .if_(kelvin <= 0.0)
        .fail("nothing is colder than absolute zero")
        .elif_((celsius > 25.0) & (celsius < 45.0))
        .then(say(text="a hat against the sun"))
        .elif_((celsius <= 25.0) & (celsius >= 15.0))
        .then(say(text="a shirt"))
        .else_()
        .then(
            conditional("season")
            .if_(is_summer(month=month).is_true())
            .then(say(text="a pullover, what a summer"))
            .else_()
            .then(say(text="a coat"))
        )
    )
