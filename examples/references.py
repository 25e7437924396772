"""What somebody else has registered: called by its name and version, without its code at hand.

    flytepath register examples/hello.py --version v1
    flytepath run examples/references.py welcome

What it shows:

- ``reference_workflow`` and ``reference_task``: the decorated function says the interface, its body is never run;
- the interface is compared with what is registered before anything runs;
- in a direct call the code is not there, so a stand-in answers: ``python examples/references.py``.
"""

from __future__ import annotations

from flytepath import reference_task, reference_workflow, task, task_mock, workflow


@reference_workflow(project="default", domain="development", name="hello.greet", version="v1")
def greet(name: str) -> str:
    """Greet somebody."""
    ...


@reference_task(project="default", domain="development", name="hello.count_letters", version="v1")
def count_letters(name: str) -> int:
    """How many letters a name has."""
    ...


@task
def sign(greeting: str, letters: int) -> str:
    """The end of a letter."""
    return f"{greeting}\n" + "-" * letters


@workflow
def welcome(name: str = "Grace") -> str:
    """Two calls of what is registered."""
    return sign(greeting=greet(name=name), letters=count_letters(name=name))


if __name__ == "__main__":
    with task_mock(greet) as greets, task_mock(count_letters) as counts:
        greets.return_value, counts.return_value = "Hello from a stand-in!", 5
        print(welcome())
