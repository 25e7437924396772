"""Order where no value says it: ``>>`` between two calls, and nodes by name.

    flytepath run examples/ordering.py prepare

What it shows:

- ``a >> b``: ``b`` waits for ``a``, though it takes nothing from it; tasks without outputs can be ordered, too;
- ``create_node``: a call whose node is held on to, with its outputs by name.
"""

from __future__ import annotations

from flytepath import create_node, task, workflow


@task
def say(line: str) -> None:
    """Print a line."""
    print(line)


@task
def count(words: str) -> int:
    """How many words there are."""
    return len(words.split())


@workflow
def prepare(words: str = "flour water salt time") -> int:
    """Say it before and after; written in another order than it runs in."""
    after = say(line="and now it rests")
    counted = create_node(count, words=words)
    before = say(line="mixing")
    before >> counted
    counted >> after
    return counted.o0
