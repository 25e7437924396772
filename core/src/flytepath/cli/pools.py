"""``flytepath pools``: what is shared, who holds it, who waits for it and why; and taking a lease away."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flytepath import config
from flytepath.cli.display import show_seconds, show_time

if TYPE_CHECKING:
    from flytepath.client.pools import PoolLease, PoolView


@click.group()
def pools() -> None:
    """List and show shared pools, and take leases away."""


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@pools.command("list")
@_json
def list_pools(as_json: bool) -> None:
    """Every pool: its limit, what is held of it, and who waits."""
    from flytepath.client import LocalClient
    from flytepath.client.pools import Pools

    with LocalClient(config.home()) as client:
        found = Pools(client).summaries()
    if as_json:
        click.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    if not found:
        click.echo("there are no pools", err=True)
        return
    rows = [("POOL", "LIMIT", "HELD", "WAITING", "TENANTS")]
    for each in found:
        limit = "-" if each.limit is None else str(each.limit)
        rows.append((each.pool, limit, str(each.held), str(each.waiting), str(each.tenants)))
    _table(rows)


@pools.command()
@click.argument("name", metavar="NAME")
@_json
def show(name: str, as_json: bool) -> None:
    """One pool: its rule and where it is said, who holds, who waits in which order and why, and shares by tenant."""
    from flytepath.client import LocalClient
    from flytepath.client.pools import Pools

    with LocalClient(config.home()) as client:
        found = Pools(client).view(name)
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        _show(found)


@pools.command()
@click.argument("name", metavar="NAME")
@click.argument("key", metavar="KEY")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
def evict(name: str, key: str, yes: bool, as_json: bool) -> None:
    """Take away what is held of NAME under KEY, with what the same job holds of other pools.

    For leases whose job is known to be gone: one that still runs at a vendor is not ended by it, so that more may run
    at once than the limit says. 'flytepath executions abort' ends jobs.
    """
    from flytepath.client import LocalClient
    from flytepath.client.pools import Pools
    from flytepath.errors import UsageError

    with LocalClient(config.home()) as client:
        found = Pools(client)
        if not yes:
            if as_json:
                raise UsageError("--json does not ask", hint="say --yes as well")
            held = next((each for each in found.view(name).leases if each.key == key), None)
            if held is not None:
                click.echo(_described(held))
                click.confirm("take it away? the job itself is not ended by it", abort=True)
        lease = found.evict(name, key)
    if as_json:
        click.echo(json.dumps({"evicted": lease.model_dump(mode="json")}, indent=2))
        return
    click.echo(f"evicted {lease.key} of {lease.tenant} from {name}")
    if lease.kind == "remote":
        click.echo("its job may still run at the vendor, beside those that take its place", err=True)


def _show(found: PoolView) -> None:
    limit = "nobody declares a limit here" if found.limit is None else str(found.limit)
    click.echo(f"pool      {found.pool}")
    click.echo(f"limit     {limit}{f'  ({found.declared})' if found.declared else ''}")
    click.echo(f"held      {found.held}")
    click.echo(f"waiting   {found.waiting}")
    if found.by_tenant:
        click.echo("\ntenants")
        rows = [("TENANT", "WEIGHT", "CAP", "HELD", "WAITING", "TOKEN-SECONDS", "SHARE")]
        for each in found.by_tenant:
            cap = "-" if each.cap is None else str(each.cap)
            counts = (f"{each.weight:g}", cap, str(each.held), str(each.waiting))
            rows.append((each.tenant, *counts, f"{each.served:.0f}", f"{each.share:.0%}"))
        _table(rows, indent="  ")
    if found.leases:
        click.echo("\nheld by")
        for lease in found.leases:
            click.echo(f"  {_described(lease)}")
            if lease.stale:
                click.echo(f"      stale: {lease.stale}")
    for line in found.lines:
        tokens = ", ".join(f"{count} of {pool}" for pool, count in line.tokens.items())
        click.echo(f"\n{line.tenant} waits for {tokens}: {line.waiting}")
        for waiter in line.first:
            blocker = f" [{waiter.blocker}]" if waiter.blocker else ""
            click.echo(f"  {waiter.position:>3}  {waiter.execution} {waiter.node}  since {show_time(waiter.since)}")
            click.echo(f"       {waiter.reason}{blocker}  {waiter.key}")
        if line.waiting > len(line.first):
            click.echo(f"       and {line.waiting - len(line.first)} more")


def _described(lease: PoolLease) -> str:
    import time

    age = show_seconds(max(0.0, time.time() - lease.since))
    who = f"{lease.tenant}  {lease.execution} {lease.node}"
    return f"{lease.key}  {lease.tokens}  {who}  {lease.kind}, for {age}, by {lease.holder}"


def _table(rows: Sequence[tuple[str, ...]], indent: str = "") -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        click.echo(indent + "  ".join(cells).rstrip())
