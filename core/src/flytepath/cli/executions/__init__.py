"""``flytepath executions``: what runs and what ran: list, show, follow, explain, compare and steer it.

A file for each subject. The commands speak to a :class:`~flytepath.client.LocalClient` and to nothing else.
"""

from __future__ import annotations

import click

from flytepath.cli.executions.deck import deck
from flytepath.cli.executions.diff import diff
from flytepath.cli.executions.driving import follow, recover, resume
from flytepath.cli.executions.explain import explain
from flytepath.cli.executions.listing import list_executions
from flytepath.cli.executions.logs import logs
from flytepath.cli.executions.relaunch import relaunch
from flytepath.cli.executions.show import show
from flytepath.cli.executions.steering import abort, pause, signal, unpause
from flytepath.cli.executions.watch import watch

__all__ = ["executions", "follow"]


@click.group()
def executions() -> None:
    """List, show, follow, explain, compare and steer executions."""


for _command in (list_executions, show, watch, logs, explain, diff, deck):
    executions.add_command(_command)
for _command in (abort, pause, unpause, resume, recover, relaunch, signal):
    executions.add_command(_command)
