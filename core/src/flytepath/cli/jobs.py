"""``flytepath jobs``: the remote jobs of executions, adopting one by hand, and ending those that nobody owns."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from flytepath import config
from flytepath.cli.display import show_seconds, show_time

if TYPE_CHECKING:
    from flytepath.client.jobs import JobDetail, JobSummary, OrphanView, ReapReport

#: In the order of a job's life.
PHASES = (
    "planned",
    "waiting_quota",
    "submitting",
    "ambiguous",
    "queued",
    "initializing",
    "running",
    "collecting",
    "succeeded",
    "failed",
    "cancelled",
)


@click.group()
def jobs() -> None:
    """List, show and read remote jobs, adopt one, and end those nobody owns."""


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@jobs.command("list")
@click.option("-p", "--project", default=None, help="Only this project.")
@click.option("-d", "--domain", default=None, help="Only this domain.")
@click.option("--backend", default=None, help="Only those of this backend.")
@click.option("--phase", default=None, type=click.Choice(PHASES), help="Only those in this phase.")
@click.option("--execution", default=None, metavar="ID", help="Only those of this execution.")
@click.option("--all", "ended", is_flag=True, help="Those that have ended too.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="How many.")
@_json
def list_jobs(
    project: str | None,
    domain: str | None,
    backend: str | None,
    phase: str | None,
    execution: str | None,
    ended: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Live jobs, the newest first; with --all also those that have ended."""
    from flytepath.client import LocalClient
    from flytepath.client.jobs import Jobs

    with LocalClient(config.home()) as client:
        found = Jobs(client).listed(
            project=project,
            domain=domain,
            backend=backend,
            phase=phase,
            execution=execution,
            ended=ended,
            limit=limit,
        )
    if as_json:
        click.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    if not found:
        click.echo("no jobs" if ended or phase else "no live jobs; --all shows those that have ended", err=True)
        return
    for each in found:
        click.echo(_line(each))
    if len(found) == limit:
        click.echo(f"there may be more: --limit {2 * limit}", err=True)


def _line(job: JobSummary) -> str:
    from flytepath.client.job_viewing import wait_words

    said = wait_words(job.waits) if job.waits is not None else job.reason
    raw = f" ({job.raw_state})" if job.raw_state else ""
    where = f"{job.backend}  {job.execution} {job.node}"
    return f"{job.key[7:19]}  {job.phase + raw:24}  {show_time(job.changed_at)}  {where}  {_first(said)}".rstrip()


@jobs.command()
@click.argument("key", metavar="KEY|EXECUTION")
@click.argument("node", required=False, default="", metavar="[NODE]")
@_json
def show(key: str, node: str, as_json: bool) -> None:
    """One job, by its KEY or the beginning of it; or by an EXECUTION and a NODE, of which it is the latest."""
    from flytepath.client import LocalClient
    from flytepath.client.jobs import Jobs

    with LocalClient(config.home()) as client:
        found = Jobs(client).show(key, node)
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        _show(found)


def _show(found: JobDetail) -> None:
    from flytepath.client.job_viewing import counted

    job = found.job
    raw = f" ({found.raw_state})" if found.raw_state else ""
    rows: list[tuple[str, Any]] = [
        ("job", found.key),
        ("node", f"{found.node} of execution {found.execution} ({found.project}/{found.domain})"),
        (
            "task",
            f"{found.task}, attempt {found.attempt}" + (f", submission {job.submission}" if job.submission else ""),
        ),
        ("backend", found.backend + (f", account {found.scope}" if found.scope else "")),
        ("name", found.external_name),
        ("phase", f"{job.phase}{raw} since {show_time(found.changed_at)}"),
        ("now", job.doing),
        ("items", counted(job.items)),
        ("cancelling", job.cancelling),
        ("parked", job.parked),
        ("error", _first(found.error)),
        ("planned", show_time(found.planned_at)),
        ("asks for", _tokens(found.asks)),
        ("holds", _tokens(found.holds)),
        ("declared", ", ".join(name for name in ("detached", "idempotent") if getattr(found, name))),
        ("handle", "" if found.handle is None else json.dumps(found.handle, sort_keys=True)),
        ("secrets", ", ".join(".".join(map(str, each[:2])) for each in found.plan.get("secrets", ()))),
        ("digest", found.plan.get("digest", "")),
    ]
    rows += [("link", f"{title}: {url}") for title, url in job.links]
    rows += [("before", key) for key in found.others[:5]]
    for title, text in rows:
        if text:
            click.echo(f"{title:10} {text}")
    click.echo("plan")
    for line in json.dumps(found.plan.get("spec"), indent=2, sort_keys=True).splitlines():
        click.echo(f"  {line}")
    click.echo("history")
    for event in found.events:
        facts = {name: value for name, value in event["payload"].items() if name not in _SHOWN_ABOVE and value}
        said = f"  {json.dumps(facts, sort_keys=True)}" if facts else ""
        click.echo(f"  {event['seq']:5} {show_time(event['at'])} {event['payload']['type']}{said}")


#: What of an event is not said again in its line of the history.
_SHOWN_ABOVE = ("type", "key", "plan", "node", "task", "settings")


@jobs.command()
@click.argument("key", metavar="KEY|EXECUTION")
@click.argument("node", required=False, default="", metavar="[NODE]")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--tail", default=None, type=click.IntRange(0), help="Only its last lines.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object a line.")
def logs(key: str, node: str, follow: bool, tail: int | None, as_json: bool) -> None:
    """What one job has printed: its vendor is asked while it lives, and what was kept is read when it has ended.

    By its KEY or the beginning of it; or by an EXECUTION and a NODE, of which it is the latest.
    """
    from flytepath.cli.executions.logs import LogPrinter
    from flytepath.cli.executions.watch import news
    from flytepath.client import LocalClient, Scope
    from flytepath.client.jobs import Jobs

    scope = Scope.of_this_user()
    try:
        with LocalClient(config.home()) as client:
            job = Jobs(client).find(key, node)
            with client.logs(scope, job.execution, job=job.key, live=True, follows=follow) as reader:
                printer = LogPrinter(prefixed=False, follows=False, as_json=as_json, only=job.node)
                printer.show(reader, tail)
                if follow and not reader.has_ended():
                    for events in news(client, scope, job.execution, client.follow(scope, job.execution)):
                        reader.learn(events)
                        printer.show(reader)
                        if reader.has_ended():
                            break
                printer.finish()
    except KeyboardInterrupt:
        sys.exit(130)
    if not printer.lines and not as_json:
        click.echo(f"job {job.key[7:19]} has printed nothing", err=True)


@jobs.command()
@click.option("--backend", default=None, help="Look only there.")
@click.option("--yes", is_flag=True, help="End them; without, they are only listed.")
@_json
def reap(backend: str | None, yes: bool, as_json: bool) -> None:
    """Find jobs at the vendors that bear our stamp and that no live execution owns; with --yes end them.

    An engine that serves does the same from time to time, with what it has known for a while.
    """
    from flytepath.client import LocalClient
    from flytepath.client.jobs import Jobs

    with LocalClient(config.home()) as client:
        report = Jobs(client).reap(backend, apply=yes)
    if as_json:
        click.echo(json.dumps(report.model_dump(mode="json"), indent=2))
    else:
        _show_report(report)
    if report.failures or any(each.outcome not in ("", "cancelled") for each in report.orphans):
        sys.exit(1)


def _show_report(report: ReapReport) -> None:
    for orphan in report.orphans:
        click.echo(_orphan_line(orphan))
    for key in report.freed:
        click.echo(f"{key[7:19]}  freed what it held of its pools")
    if not report.orphans:
        click.echo("no vendor shows a job that nobody owns", err=True)
    elif not report.applied:
        click.echo("nothing was touched; add --yes to end them", err=True)
    for backend, why in report.failures.items():
        click.echo(f"backend {backend} could not be looked through: {why}", err=True)


def _orphan_line(orphan: OrphanView) -> str:
    age = "" if orphan.planned_at is None else f", planned {show_seconds(time.time() - orphan.planned_at)} ago"
    state = orphan.raw_state or orphan.phase or "state unknown"
    whose = f"{orphan.execution} {orphan.node} of {orphan.project}/{orphan.domain}"
    line = f"{orphan.key.removeprefix('sha256:')[:12]}  {orphan.backend}  {state}  {whose}: {orphan.why}{age}"
    if orphan.outcome or orphan.detail:
        line += f"  -> {', '.join(filter(None, (orphan.outcome, orphan.detail)))}"
    return line


@jobs.command()
@click.argument("key", metavar="KEY")
@click.option("--handle", default=None, metavar="JSON", help="The handle of the job, as its backend gives it.")
@click.option("--not-there", is_flag=True, help="The vendor has no such job: submit it again.")
@_json
def adopt(key: str, handle: str | None, not_there: bool, as_json: bool) -> None:
    """Say what became of a job when nobody can know whether its vendor took it: which one it is, or that there is none.

    Look at the vendor first: said wrongly, a job runs twice, or another one is taken for it.
    """
    from flytepath.client import LocalClient, Scope
    from flytepath.client.jobs import Jobs
    from flytepath.errors import UsageError

    if (handle is None) == (not not_there):
        raise UsageError("say either which job it is, or that there is none", expected="--handle JSON, or --not-there")
    read = None if handle is None else _handle(handle)
    with LocalClient(config.home()) as client:
        scope = Scope.of_this_user()
        job = Jobs(client).adopt(scope, key, read)
        driven = client.is_driven(scope, job.execution)
    what = "is not there" if read is None else f"is {json.dumps(read, sort_keys=True)}"
    if as_json:
        click.echo(json.dumps({"key": job.key, "execution": job.execution, "handle": read, "posted": True}))
    else:
        click.echo(f"job {job.key[7:19]} of execution {job.execution} {what}")
    if not driven:
        click.echo(f"nobody drives it; go on with: flytepath executions resume {job.execution}", err=True)


def _handle(text: str) -> dict[str, Any]:
    from flytepath.errors import UsageError

    try:
        data = json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"this is no JSON: {error}",
            place="--handle",
            expected='a JSON object, as in: \'{"id": "j1"}\'',
            actual=text,
        ) from error
    if not isinstance(data, dict) or not data:
        raise UsageError("a handle is a JSON object", place="--handle", expected='as in: \'{"id": "j1"}\'', actual=text)
    return data


def _tokens(pools: dict[str, int]) -> str:
    return ", ".join(f"{tokens} of {pool}" for pool, tokens in pools.items())


def _first(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0] if lines else ""
