"""``flytepath migrate``: a code base of flytekit, rewritten for FlytePath."""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flytepath.errors import UsageError

if TYPE_CHECKING:
    from flytepath.migration.findings import Outcome


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH...")
@click.option("--write", is_flag=True, help="Change the files; without it nothing is written.")
@click.option("--check", is_flag=True, help="Exit with status 1 if something would change or could not be read.")
@click.option("--diff/--no-diff", default=True, show_default=True, help="Show what would change.")
@click.option("--json", "as_json", is_flag=True, help="Print a report as JSON.")
def migrate(paths: tuple[Path, ...], write: bool, check: bool, diff: bool, as_json: bool) -> None:
    """Rewrite imports, uses and requirements of flytekit and its plugins for FlytePath.

    Shows a diff, and lists what it cannot carry over with file and line. Exit status 0, also where something is left
    to do by hand; 1 with --check if something would change, and with --write if a file could not be rewritten.
    """
    if write and check:
        raise UsageError("--write and --check exclude each other", hint="--check is for CI: it changes nothing")
    try:
        import libcst  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "flytepath migrate needs libcst, which is not installed", hint='pip install "flytepath[migrate]"'
        ) from error
    from flytepath.migration.table import installed
    from flytepath.migration.tree import files_of, migrate_file

    table = installed()
    outcomes: list[Outcome] = []
    for path in files_of(paths):
        outcome = migrate_file(path, table, write=write)
        if outcome is None:
            continue
        outcomes.append(outcome)
        if diff and not as_json and not write:
            _print_diff(outcome)
    if as_json:
        click.echo(json.dumps(_report(outcomes, diff=diff), indent=2))
    else:
        _print_left(outcomes)
        _print_summary(outcomes, write=write)
    skipped = any(outcome.status == "skipped" for outcome in outcomes)
    changes = any(outcome.status == "would change" for outcome in outcomes)
    if (check and (changes or skipped)) or (write and skipped):
        sys.exit(1)


def _diff(outcome: Outcome) -> str:
    lines = difflib.unified_diff(
        outcome.before.splitlines(keepends=True),
        outcome.after.splitlines(keepends=True),
        fromfile=f"a/{outcome.path.lstrip('/')}",
        tofile=f"b/{outcome.path.lstrip('/')}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _print_diff(outcome: Outcome) -> None:
    if outcome.changes:
        click.echo(_diff(outcome), nl=False)


def _print_left(outcomes: list[Outcome]) -> None:
    findings = [found for outcome in outcomes for found in outcome.findings]
    if not findings:
        return
    click.echo(f"left for you ({len(findings)}):")
    for found in findings:
        name = f"{found.name}: " if found.name else ""
        click.echo(f"  {found.file}:{found.line}: {name}{found.reason}")
        if found.hint:
            click.echo(f"      hint: {found.hint}")


def _print_summary(outcomes: list[Outcome], *, write: bool) -> None:
    count = Counter(outcome.status for outcome in outcomes)
    done = f"{count['changed']} changed" if write else f"{count['would change']} would change"
    left = sum(len(outcome.findings) for outcome in outcomes)
    click.echo(f"files: {done}, {count['skipped']} skipped; {left} left for you")
    if count["would change"]:
        click.echo("nothing was written; run again with --write")


def _report(outcomes: list[Outcome], *, diff: bool) -> dict[str, Any]:
    return {
        "files": [
            {"path": outcome.path, "status": outcome.status, **({"diff": _diff(outcome)} if diff else {})}
            for outcome in outcomes
        ],
        "left": [found.to_json() for outcome in outcomes for found in outcome.findings],
    }
