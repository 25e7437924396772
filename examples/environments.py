"""Settings that several tasks share: ``Environment``, and the variables a task runs with.

    flytepath run examples/environments.py greet

What it shows:

- ``Environment(...)``: settings of ``@task`` under one name, whose ``task`` and ``dynamic`` are decorators;
- ``extend`` makes another one, and a task can say more, or something else;
- ``environment={...}``: environment variables of the task, in place only while it runs.
"""

from __future__ import annotations

import os

from flytepath import Environment, Resources, workflow

english = Environment(retries=1, requests=Resources(cpu="1", mem="200Mi"), environment={"GREETING": "Hello"})
norwegian = english.extend(environment={"GREETING": "Hei"})


@english.task
def hello(name: str) -> str:
    """A greeting in the language of the environment."""
    return f"{os.environ['GREETING']}, {name}!"


@norwegian.task(retries=2)
def hei(name: str) -> str:
    """The same in another one."""
    return f"{os.environ['GREETING']}, {name}!"


@workflow
def greet(name: str = "Ada") -> tuple[str, str]:
    """Greet somebody twice."""
    return hello(name=name), hei(name=name)
