"""Gates: a run that waits for a person's word, for a value, or for time.

    flytepath run examples/gates.py publish
    flytepath executions signal ID headline "Beans up again"
    flytepath executions signal ID editor --approve

What it shows:

- ``wait_for_input``: somebody gives a value of the declared type;
- ``approve``: what a task returned goes on when somebody says yes, and the run fails when they say no;
- ``sleep``: time, which passes while nothing runs at all; ``>>`` says between what.

The first command waits, and says which commands answer; type them in another terminal, with the id of the execution.
A direct call, ``publish()``, asks on the terminal instead.
"""

from __future__ import annotations

import datetime as dt

from flytepath import approve, sleep, task, wait_for_input, workflow


@task
def draft(headline: str, notes: list[str]) -> str:
    """The page as it would be printed."""
    return "\n".join([headline.upper(), *notes])


@task
def print_page(page: str) -> int:
    """Print it; how many lines there are."""
    print(page)
    return len(page.splitlines())


@workflow
def publish(notes: list[str] = ["rain all day", "the beans are up"]) -> int:  # noqa: B006 - never changed
    """Ask for a headline, let the editor see the page, wait a moment, print it."""
    headline = wait_for_input("headline", timeout=dt.timedelta(days=1), expected_type=str)
    page = approve(draft(headline=headline, notes=notes), "editor", timeout=dt.timedelta(days=1))
    printed = print_page(page=page)
    page >> sleep(dt.timedelta(seconds=0.2)) >> printed
    return printed
