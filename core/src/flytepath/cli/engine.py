"""``flytepath engine``: a process that drives whatever nobody drives, and starts what schedules say is due."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import click

from flytepath import config

if TYPE_CHECKING:
    from flytepath.client import LocalClient
    from flytepath.engine.engine import Engine


@click.group()
def engine() -> None:
    """Run engine processes; several may work on one home or one database."""


@engine.command("start")
@click.option("--slots", default=None, type=click.IntRange(min=1), help="How many attempts run at once.")
@click.option(
    "--grace", default=600.0, show_default=True, type=click.FloatRange(min=0), help="Seconds to drain after SIGTERM."
)
@click.option("--no-schedules", is_flag=True, help="Start nothing by schedule.")
def start(slots: int | None, grace: float, no_schedules: bool) -> None:
    """Drive executions until told to end.

    SIGTERM and SIGINT drain: nothing new starts, what runs goes on to its end, then the leases are given back and
    others take over. A second signal, or the end of the grace time, ends what runs.
    """
    from flytepath.client import LocalClient

    with LocalClient(config.home(), slots=slots) as client:
        sys.exit(asyncio.run(_serve(client, grace, schedules=not no_schedules)))


async def _serve(client: LocalClient, grace: float, *, schedules: bool) -> int:
    from flytepath.client.commands import admit
    from flytepath.client.driving import local_engine
    from flytepath.engine.schedules import Ticker
    from flytepath.engine.state import ExecutionState
    from flytepath.model.identity import Tenant

    def allowed(state: ExecutionState) -> None:
        if state.created is not None:
            admit(state.spec, Tenant(state.created.project, state.created.domain))

    loop = asyncio.get_running_loop()
    async with local_engine(client.home, client.store, client.slots) as running:
        signals = _Signals(running, grace, asyncio.current_task())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, signals.came)
        click.echo(f"engine {running.name}: {client.slots} slots, store {client.store.place}", err=True)
        ticker = Ticker(client.store) if schedules else None
        try:
            await running.serve(admit=allowed, tick=ticker.tick if ticker is not None else None)
        except asyncio.CancelledError:
            click.echo("the engine ends; what it ran goes on elsewhere, or when an engine is started again", err=True)
            return 1
        click.echo("the engine has drained", err=True)
    return 0


class _Signals:
    """The first signal drains, the second ends."""

    def __init__(self, running: Engine, grace: float, task: asyncio.Task[object] | None) -> None:
        self._engine = running
        self._grace = grace
        self._task = task
        self._drains = False

    def came(self) -> None:
        """A signal to end has come."""
        if self._drains:
            self._end()
            return
        self._drains = True
        owned = len(self._engine.owned)
        click.echo(f"draining: {owned} execution{'s' if owned != 1 else ''} to be handed on", err=True)
        self._engine.drain()
        asyncio.get_running_loop().call_later(self._grace, self._end)

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
