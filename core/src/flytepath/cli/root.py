"""The root command: finds the group that is meant, imports only that, and prints errors as people read them."""

from __future__ import annotations

import importlib
import json
import os
import sys

import click

from flytepath import __version__
from flytepath.errors import FlytePathError

#: Command name -> where it is defined, and the line that ``--help`` shows without importing it.
COMMANDS: dict[str, tuple[str, str]] = {
    "admin": ("flytepath.cli.admin:admin", "Rebuild projections, remove old executions, erase values."),
    "cache": ("flytepath.cli.cache:cache", "Explain, list and drop the cached outputs of tasks."),
    "completion": ("flytepath.cli.completion:completion", "Print the completion script of a shell."),
    "environments": ("flytepath.cli.environments:environments", "List, build and remove the environments of tasks."),
    "engine": ("flytepath.cli.engine:engine", "Run an engine: it drives what nobody drives, and keeps schedules."),
    "execute": ("flytepath.cli.execute:execute", "Run a registered version from its stored code."),
    "executions": ("flytepath.cli.executions:executions", "List, show, steer and explain executions."),
    "graph": ("flytepath.cli.graph:graph", "Draw a workflow as a tree, SVG, Mermaid or DOT."),
    "jobs": ("flytepath.cli.jobs:jobs", "List, show and read remote jobs, adopt one, and end those nobody owns."),
    "launchplans": ("flytepath.cli.launchplans:launchplans", "List, show, activate and deactivate launch plans."),
    "migrate": ("flytepath.cli.migrate:migrate", "Rewrite a code base of flytekit for FlytePath."),
    "package": ("flytepath.cli.package:package", "Write code and compiled workflows into an archive."),
    "plugins": ("flytepath.cli.plugins:plugins", "List, check, enable and create plugins."),
    "pools": ("flytepath.cli.pools:pools", "List and show shared pools, and take leases away."),
    "register": ("flytepath.cli.register:register", "Register all tasks, workflows and launch plans of files."),
    "render": ("flytepath.cli.render:render", "Print what a workflow would submit to its backends."),
    "run": ("flytepath.cli.run:run", "Run a workflow or task of a file or module, durably."),
    "versions": ("flytepath.cli.versions:versions", "List versions; activate and roll back those of launch plans."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when called. Plugins add theirs through the plugin index."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *_plugin_help()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            return _load(COMMANDS[cmd_name][0])
        if cmd_name not in _plugin_help():
            return None
        from flytepath.plugin.manager import current

        claim = next(claim for claim in current().cli_commands() if claim.declaration.name == cmd_name)
        command = current().resolve(claim.declaration.command)
        if not isinstance(command, click.Command):
            raise FlytePathError(
                f"command {cmd_name!r} of plugin {claim.plugin} is not a click command", place=claim.declaration.command
            )
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise click.UsageError(f"{error.message}{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = {name: text for name, (_, text) in COMMANDS.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted((_plugin_help() | rows).items()))


def _load(reference: str) -> click.Command:
    module, _, name = reference.partition(":")
    command: click.Command = getattr(importlib.import_module(module), name)
    return command


def _plugin_help() -> dict[str, str]:
    """Commands of enabled plugins; a policy that cannot be read must not hide ``--help`` and ``plugins doctor``."""
    from flytepath.plugin.manager import current

    try:
        return current().command_help()
    except FlytePathError as error:
        click.echo(f"warning: plugins' commands are not shown: {error}", err=True)
        return {}


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flytepath")
def root() -> None:
    """FlytePath: typed, durable workflows in which every integration is a plugin."""


def run_command_line(arguments: list[str] | None = None) -> None:
    """Run a command line and exit: 0 for success, 2 for a usage error, 1 for a failure, 130 when interrupted."""
    try:
        status = root.main(args=arguments, prog_name="flytepath", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; say nothing at exit
        sys.exit(141)
    except FlytePathError as error:
        if "--json" in (sys.argv[1:] if arguments is None else arguments):
            click.echo(json.dumps({"error": error.to_json()}, indent=2))
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_status)
