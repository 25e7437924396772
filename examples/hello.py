"""The smallest workflow: two typed tasks, one after the other.

    flytepath run examples/hello.py greet
    flytepath run examples/hello.py greet --name Ada

What it shows:

- ``@task``: a typed function, which a worker process calls;
- ``@workflow``: its calls of tasks are wired to a graph, which is checked before anything runs.
"""

from __future__ import annotations

from flytepath import task, workflow


@task
def count_letters(name: str) -> int:
    """How many letters a name has."""
    return sum(letter.isalpha() for letter in name)


@task
def compose(name: str, letters: int) -> str:
    """A greeting."""
    return f"Hello, {name}! Your name has {letters} letters."


@workflow
def greet(name: str = "World") -> str:
    """Greet somebody."""
    return compose(name=name, letters=count_letters(name=name))
