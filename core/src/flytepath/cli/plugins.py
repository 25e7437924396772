"""``flytepath plugins``: which plugins there are, how they are, which are enabled, and the start of a new one."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from flytepath.cli.plugin_doctor import Diagnosis
    from flytepath.cli.policy_file import Edit
    from flytepath.plugin.manager import PluginManager, PluginRecord

Json = Any
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_FILE = click.option(
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The policy file to edit; by default the nearest flytepath.toml or pyproject.toml with [tool.flytepath].",
)
_FORCE = click.option("--force", is_flag=True, help="Also for a plugin that is not installed here.")


@click.group()
def plugins() -> None:
    """List, check, enable and create plugins."""


@plugins.command("list")
@_JSON
def list_plugins(as_json: bool) -> None:
    """Show every installed plugin: version, state, and what it gives."""
    from flytepath.cli.plugin_doctor import gives

    records = sorted(_manager().plugins, key=lambda record: record.name)
    if as_json:
        _print_json([{**_identity(record), "gives": gives(record.declarations)} for record in records])
        return
    rows = [(record.name, record.version, record.state, _in_a_line(record)) for record in records]
    _print_table(("NAME", "VERSION", "STATE", "GIVES"), rows)


@plugins.command("show")
@click.argument("name")
@_JSON
def show_plugin(name: str, as_json: bool) -> None:
    """Show everything that is known of one plugin."""
    from flytepath.cli.plugin_doctor import conflicts_of, heavy_imports, plain_declarations

    manager = _manager()
    record = _find(manager, name)
    declarations = plain_declarations(record)
    if as_json:
        facts = {
            **_identity(record),
            "requires": list(record.requires),
            "import_seconds": record.import_seconds,
            "imported_modules": list(record.imported_modules),
            "conflicts": conflicts_of(manager, record),
            "declarations": [{"hook": hook, **fields} for hook, fields in declarations],
        }
        _print_json(facts)
        return
    lines: list[tuple[str, str]] = [
        ("name", record.name),
        ("state", record.state),
        ("cause", record.cause or ""),
        ("hint", record.hint or ""),
        ("distribution", f"{record.distribution} {record.version}"),
        ("module", record.module),
        ("contract", str(record.contract)),
        ("requires", ", ".join(record.requires)),
        ("manifest import", _milliseconds(record.import_seconds)),
        ("heavy imports", ", ".join(heavy_imports(record))),
    ]
    lines += [("conflict", line) for line in conflicts_of(manager, record)]
    for hook, fields in declarations:
        said = ", ".join(f"{key}={_short(value)}" for key, value in fields.items() if value not in ("", (), None, 0))
        lines.append((hook.removeprefix("flytepath_"), said))
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        if text:
            click.echo(f"{label:<{width}}  {text}")


@plugins.command("doctor")
@_JSON
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds that importing what one plugin declares may take.",
)
def doctor(as_json: bool, timeout: float) -> None:
    """Examine every plugin afresh; exit status 1 if something that is enabled is broken."""
    from flytepath.cli.plugin_doctor import examine
    from flytepath.plugin.policy import Policy

    diagnoses = examine(_manager(refresh=True, strict=False), Policy.load(), timeout)
    broken = [item.name for item in diagnoses if item.broken]
    if as_json:
        _print_json({"healthy": not broken, "plugins": [item.to_json() for item in diagnoses]})
    else:
        for item in sorted(diagnoses, key=lambda item: (item.broken, item.name)):
            _print_diagnosis(item)
        click.echo(
            f"{len(broken)} of {len(diagnoses)} plugins need attention: {', '.join(broken)}"
            if broken
            else "all is well"
        )
    if broken:
        # Not context.exit: outside standalone mode click turns that into a return value.
        sys.exit(1)


@plugins.command("enable")
@click.argument("name")
@_FILE
@_FORCE
def enable_plugin(name: str, file: Path | None, force: bool) -> None:
    """Enable a plugin in the policy file of this folder."""
    from flytepath.cli.policy_file import enable, policy_file

    _check_name(name, force)
    _report(name, enable(policy_file(file), name), wanted=True, named=file is not None)


@plugins.command("disable")
@click.argument("name")
@_FILE
@_FORCE
def disable_plugin(name: str, file: Path | None, force: bool) -> None:
    """Deny a plugin in the policy file of this folder."""
    from flytepath.cli.policy_file import disable, policy_file
    from flytepath.errors import UsageError
    from flytepath.plugin.policy import CORE

    if name == CORE:
        raise UsageError(
            f"{CORE!r} is core itself and cannot be disabled", hint="name a plugin; `flytepath plugins list`"
        )
    _check_name(name, force)
    _report(name, disable(policy_file(file), name), wanted=False, named=file is not None)


@plugins.command("new")
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where the folder of the new package is made; the current folder by default.",
)
def new_plugin(name: str, directory: Path) -> None:
    """Write a plugin package NAME, ready to install and to change, whose tests pass at once."""
    from flytepath.cli.plugin_template import write_plugin

    folder = write_plugin(name, directory)
    click.echo(f"wrote {folder}")
    click.echo(f"next: pip install -e '{folder}[test]' && python -m pytest '{folder}'")


def _manager(*, refresh: bool = False, strict: bool | None = False) -> PluginManager:
    """A manager of this command's own: it must show a broken plugin, so strict mode does not apply."""
    from flytepath.plugin.manager import PluginManager

    return PluginManager.load(refresh=refresh, strict=strict)


def _find(manager: PluginManager, name: str) -> PluginRecord:
    """The record of an installed plugin; by its distribution's name too."""
    from flytepath.errors import NotFoundError

    for record in manager.plugins:
        if name in (record.name, record.distribution):
            return record
    names = sorted(record.name for record in manager.plugins)
    raise NotFoundError(
        f"no plugin {name!r} is installed",
        expected=f"one of {', '.join(names)}" if names else None,
        actual=name,
        hint=_nearest(name, names) or f"pip install flyte-plugin-{name}",
    )


def _nearest(name: str, names: Sequence[str]) -> str | None:
    import difflib

    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else None


def _check_name(name: str, force: bool) -> None:
    from flytepath.errors import NotFoundError, UsageError

    if not name.strip() or any(mark in name for mark in "*?[]"):
        raise UsageError(f"{name!r} is not a plugin's name", hint="wildcards are written into the policy file by hand")
    if force:
        return
    # Straight from the metadata: a policy that keeps the manager from loading must still be possible to correct.
    from flytepath.plugin.discovery import installed_plugins

    names = sorted({item.name for item in installed_plugins()})
    if name not in names:
        raise NotFoundError(
            f"no plugin {name!r} is installed",
            expected=f"one of {', '.join(names)}" if names else None,
            actual=name,
            hint=_nearest(name, names) or f"pip install flyte-plugin-{name}, or use --force to write it anyway",
        )


def _report(name: str, edit: Edit, *, wanted: bool, named: bool) -> None:
    """Say what changed, and why the result is not the wanted one where something stronger decides."""
    from flytepath.config import ENV_PREFIX
    from flytepath.plugin.policy import Policy

    word = "enabled" if wanted else "disabled"
    for change in edit.changes:
        click.echo(f"{edit.path}: {change}")
    if not edit.changes:
        click.echo(f"{name} is already {word} in {edit.path}; nothing changed")
    policy = Policy.load()
    if policy.enabled(name) is not wanted:
        why = policy.why(name)
        stronger = "an environment variable overrides the file" if ENV_PREFIX in why else "another file decides here"
        click.echo(f"warning: {name} is not {word} yet: {stronger}: {why}", err=True)
    elif not named:
        click.echo(f"{name} is {word} ({policy.why(name)})")
    for label, level in policy.levels.items():
        said = level.verdict(name)
        if said is not None and said[0] is not wanted:
            click.echo(f"note: {label} has a rule of its own: {said[1]}", err=True)


def _identity(record: PluginRecord) -> dict[str, Json]:
    return {
        "name": record.name,
        "version": record.version,
        "state": record.state,
        "distribution": record.distribution,
        "module": record.module,
        "contract": str(record.contract),
        "cause": record.cause or None,
        "hint": record.hint or None,
    }


def _in_a_line(record: PluginRecord) -> str:
    from flytepath.cli.plugin_doctor import gives

    if record.state != "enabled":
        return (record.cause or "").partition("\n")[0]
    return gives(record.declarations)


def _print_diagnosis(item: Diagnosis) -> None:
    mark = "BROKEN" if item.broken else "ok" if item.state == "enabled" else item.state
    click.echo(f"{item.name} {item.version} [{mark}]")
    click.echo(f"  contract {item.contract}, manifest import {_milliseconds(item.import_seconds) or 'not measured'}")
    if item.requirements:
        click.echo(
            "  requires " + ", ".join(f"{text} (found {found or 'nothing'})" for text, found in item.requirements)
        )
    if item.heavy_imports:
        click.echo(f"  warning: the manifest imports {', '.join(item.heavy_imports)}")
    if item.cause and not item.broken:
        click.echo(f"  {item.cause}")
    for problem, hint in item.problems:
        click.echo(f"  problem: {problem}")
        if hint:
            click.echo(f"    hint: {hint}")


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*header)
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(data: Json) -> None:
    def plain(value: Any) -> Json:
        return (
            dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)
        )

    click.echo(json.dumps(data, indent=2, ensure_ascii=False, default=plain))


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
